package programs

// fioStory writes at random and reads back every block's checksum, by each way
// in which programs do I/O.
func fioStory(s *shell) {
	for _, how := range []string{
		"--ioengine=psync --fsync=16", "--ioengine=libaio --direct=1 --iodepth=16", "--ioengine=mmap", "--ioengine=psync --bs=512-70k --bs_unaligned=1",
	} {
		s.sh("fio --name=verify --filename=fio --size=8m --bs=4k --rw=randwrite --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7 " +
			"--numjobs=1 --group_reporting --output-format=terse " + how + " && rm fio")
	}
}
