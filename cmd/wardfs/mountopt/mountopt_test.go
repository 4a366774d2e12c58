package mountopt

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for list, want := range map[string]func(*Options){
		"":                                    func(*Options) {},
		"defaults,rw,noauto,user,users,owner": func(*Options) {},
		"x-systemd.automount,x-gvfs-show,comment=hi,_netdev,nofail": func(o *Options) { o.NoFail = true },
		"ro,nosuid,nodev,noexec,noatime": func(o *Options) {
			o.ReadOnly, o.NoSuid, o.NoDev, o.NoExec, o.NoAtime = true, true, true, true, true
		},
		"ro,rw,nosuid,suid,noexec,exec": func(*Options) {}, // the last counts
		"allow_other,default_permissions,nonempty,fsname=here,subtype=wardfs": func(o *Options) {
			o.AllowOther, o.NonEmpty, o.Fsname = Yes, true, "here"
		},
		`fsname=a\,b\\c`:                     func(o *Options) { o.Fsname = `a,b\c` },
		"attr_timeout=0,entry_timeout=1.5":   func(o *Options) { o.AttrTimeout, o.EntryTimeout = 0, 1500*time.Millisecond },
		"negative_timeout=200ms":             func(o *Options) { o.NegativeTimeout = 200 * time.Millisecond },
		"soft,timeo=600":                     func(o *Options) { o.Soft, o.Timeout = true, time.Minute }, // tenths, as NFS
		"soft,hard,timeo=5s":                 func(o *Options) { o.Timeout = 5 * time.Second },
		"memory=64MiB,max_read=131072":       func(o *Options) { o.Memory = 64 << 20 },
		"max_write=131072,readahead=1MiB":    func(o *Options) { o.MaxWrite, o.ReadAhead = 131072, 1<<20 },
		"ca=/c,cert=/x,key=/k,server_name=n": func(o *Options) { o.CA, o.Cert, o.Key, o.ServerName = "/c", "/x", "/k", "n" },
		"identity=trusted,mechanism=X509,cert=a,key=b": func(o *Options) {
			o.Identity, o.Mechanism, o.Cert, o.Key = "trusted", "X509", "a", "b"
		},
		"user=alice,log=/l,log_level=debug,log_format=json": func(o *Options) {
			o.User, o.Log, o.LogLevel, o.LogJSON = "alice", "/l", "debug", true
		},
		" ro , nosuid ": func(o *Options) { o.ReadOnly, o.NoSuid = true, true },
	} {
		o := Defaults()
		want(o)
		got, err := Parse(list)
		if err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("%q: got %+v, %v", list, got, err)
		}
	}
}

func TestRefusedOptions(t *testing.T) {
	for list, want := range map[string]struct{ text, hint string }{
		"nosiud":                            {`unknown mount option "nosiud"`, `"nosuid"`},
		"alow_other":                        {`unknown mount option "alow_other"`, `"allow_other"`},
		"zzzzzzzz":                          {`unknown mount option "zzzzzzzz"`, "mount --help"},
		"remount":                           {`unknown mount option "remount"`, ""},
		"ca":                                {`"ca" needs a value`, "ca=FILE"},
		"ca=":                               {"is empty", "ca=FILE"},
		"ro=1":                              {`"ro" takes no value`, "write ro"},
		"identity=me":                       {`"me" is not known`, "identity=mount|caller|trusted"},
		"sec=krb5":                          {"is NFS's", "mechanism=KERBEROS"},
		"mechanism=KERBEROSS":               {`"KERBEROSS" is not known`, "SIMPLE|X509|KERBEROS|OIDC|CUSTOM|TOKEN"},
		"user=a b":                          {"is no name", ""},
		"timeo=x":                           {"is no duration", "60s"},
		"timeo=1":                           {"less than a second", ""},
		"memory=1KiB":                       {"is not between 8MiB", ""},
		"memory=64M":                        {"unknown unit", "MiB"},
		"attr_timeout=-1":                   {"", ""},
		"subtype=ext4":                      {"is not known", ""},
		"cert=x":                            {"belong together", ""},
		"mechanism=X509":                    {"needs a certificate", ""},
		"identity=trusted,mechanism=SIMPLE": {"needs a proven name", ""},
		"user=a,cert=x,key=y":               {"both say who it is", ""},
		"fsname=a\nb":                       {"line break", ""},
	} {
		_, err := Parse(list)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Text, want.text) || !strings.Contains(e.Next, want.hint) {
			t.Errorf("%q: got %#v", list, err)
		}
	}
}

func TestKnownKeepsWhatItKnows(t *testing.T) {
	if got := Known(`rw,frobnicate,fsname=a\,b,x=y`); got != `rw,fsname=a\,b` {
		t.Errorf("got %q", got)
	}
}

func TestSpec(t *testing.T) {
	for text, want := range map[string]Spec{
		"host":                    {Servers: []string{"host:7470"}, Path: "/"},
		"host:/":                  {Servers: []string{"host:7470"}, Path: "/"},
		"host:":                   {Servers: []string{"host:7470"}, Path: "/"},
		"host:7000":               {Servers: []string{"host:7000"}, Path: "/"},
		"host:7000:/team/a/":      {Servers: []string{"host:7000"}, Path: "/team/a"},
		"a,b:1,[::1]:2,[fe80::1]": {Servers: []string{"a:7470", "b:1", "[::1]:2", "[fe80::1]:7470"}, Path: "/"},
		"[::1]:/x":                {Servers: []string{"[::1]:7470"}, Path: "/x"},
		"host:/../..":             {Servers: []string{"host:7470"}, Path: "/"},
		"wardfs#host:/":           {Servers: []string{"host:7470"}, Path: "/"},
		"dev:/var/lib/x/":         {Dev: "/var/lib/x"},
		"dev:rel":                 {Dev: "rel"},
		"dev:/x:/team/a/":         {Dev: "/x", Path: "/team/a"},
		"dev:rel:/a:/b":           {Dev: "rel", Path: "/a:/b"},
		"dev:/x:/":                {Dev: "/x"},
		"wardfs#dev:/x":           {Dev: "/x"},
		"dev:7470:/":              {Servers: []string{"dev:7470"}, Path: "/"}, // a host of that name
		"dev":                     {Servers: []string{"dev:7470"}, Path: "/"},
	} {
		got, err := ParseSpec(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
		if again, err := ParseSpec(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q prints as %q, which reads as %+v, %v", text, got.String(), again, err)
		}
	}
	for _, text := range []string{"", ":/", "a,,b", "host:port", "host:0", "host:99999", "::1", "[x]", "ho st", "http://host:/x", "dev:", "dev::/a", "dev:/x:/a\nb", "/dev/sda1", "a:1:2"} {
		if got, err := ParseSpec(text); err == nil {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}

func TestEveryOptionIsUsable(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range table() {
		if seen[o.Name] {
			t.Errorf("%s stands twice", o.Name)
		}
		seen[o.Name] = true
		if o.flag == nil && (o.value == nil || o.Value == "") {
			t.Errorf("%s can't be written", o.Name)
		}
	}
	if len(Table()) == 0 || len(Ignored()) == 0 {
		t.Error("nothing to document")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`rw,nosuid,fsname=a\,b,timeo=600,memory=1GiB,attr_timeout=1e3,x-a=b`)
	f.Add("attr_timeout=NaN,entry_timeout=Inf")
	f.Add(`\`)
	f.Fuzz(func(t *testing.T, list string) {
		o, err := Parse(list)
		if err == nil && (o.Timeout < 0 || o.Memory < 0 || o.MaxWrite < 0) {
			t.Errorf("%q: %+v", list, o)
		}
		if _, err := Parse(Known(list)); err != nil && strings.HasPrefix(err.Error(), "unknown") {
			t.Errorf("Known(%q) has what is not: %v", list, err)
		}
	})
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"a,b:1,[::1]:2:/x", "dev:/x", "wardfs#h:/", "[fe80::1%eth0]:1", "a:/:/", "dev:dev:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text)
		if err != nil {
			return
		}
		again, err := ParseSpec(s.String())
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%q reads as %+v, which prints as %q and reads as %+v, %v", text, s, s, again, err)
		}
	})
}
