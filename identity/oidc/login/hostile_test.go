package login

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// crooked is an issuer whose endpoints say what a test wants.
type crooked struct {
	*httptest.Server
	doc           map[string]any
	device, token http.HandlerFunc
	now           time.Time
	waits         []time.Duration
}

func say(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
}

const aCode = `{"device_code":"d","user_code":"ABCD","verification_uri":"https://a.test/device","expires_in":600,"interval":1}`

func newCrooked(t *testing.T) *crooked {
	i := &crooked{now: time.Unix(1_800_000_000, 0), device: say(200, aCode)}
	mux := http.NewServeMux()
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	i.doc = map[string]any{
		"issuer": i.URL, "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"device_authorization_endpoint": i.URL + "/device", "authorization_endpoint": i.URL + "/auth",
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(i.doc) })
	mux.HandleFunc("/device", func(w http.ResponseWriter, r *http.Request) { i.device(w, r) })
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) { i.token(w, r) })
	return i
}

func (i *crooked) config() Config {
	return Config{
		Issuer: i.URL, ClientID: "c", HTTP: i.Client(), Now: func() time.Time { return i.now },
		Wait: func(ctx context.Context, d time.Duration) error {
			i.waits = append(i.waits, d)
			i.now = i.now.Add(d)
			return ctx.Err()
		},
	}
}

func (i *crooked) log(t *testing.T) error {
	t.Helper()
	p, err := Discover(t.Context(), i.config())
	if err != nil {
		return err
	}
	_, err = p.Device(t.Context(), func(Code) {})
	return err
}

// What an issuer says that is hostile, broken or no is an error in plain words,
// within its time.
func TestCrookedIssuer(t *testing.T) {
	huge := `{"x":"` + strings.Repeat("x", maxAnswer) + `"}`
	no := func(code string) http.HandlerFunc { return say(400, `{"error":"`+code+`"}`) }
	for name, c := range map[string]struct {
		doc           map[string]any
		device, token http.HandlerFunc
		want          string
	}{
		"issuer of another name": {map[string]any{"issuer": "https://b.test"}, nil, nil, "it is issuer"},
		"plain token endpoint":   {map[string]any{"token_endpoint": "http://a.test/token"}, nil, nil, "https"},
		"password in an address": {map[string]any{"jwks_uri": "https://a:b@a.test/"}, nil, nil, "https"},
		"no codes":               {map[string]any{"device_authorization_endpoint": ""}, nil, nil, "log in by browser"},
		"types":                  {map[string]any{"token_endpoint": 7}, nil, nil, "not understood"},
		"nonsense":               {nil, say(200, "<html>"), nil, "not understood"},
		"huge":                   {nil, say(200, huge), nil, "more than"},
		"elsewhere": {nil, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://b.test/", http.StatusTemporaryRedirect)
		}, nil, "307"},
		"no code":                 {nil, say(200, `{}`), nil, "no code"},
		"a code with an escape":   {nil, say(200, strings.Replace(aCode, "ABCD", `\u001b[2J`, 1)), nil, "no code"},
		"a plain place":           {nil, say(200, strings.Replace(aCode, "https", "http", 1)), nil, "https"},
		"a place with an escape":  {nil, say(200, strings.Replace(aCode, "a.test", `a.test/\u001b[2J`, 1)), nil, "https"},
		"denied":                  {nil, nil, no("access_denied"), "the login was refused"},
		"expired":                 {nil, nil, no("expired_token"), "the code has expired"},
		"unknown client":          {nil, no("invalid_client"), nil, "does not know this client"},
		"an error with an escape": {nil, nil, say(400, `{"error":"x\u001b[2J","error_description":"`+strings.Repeat("y", 1000)+`"}`), "refuses (x?[2J: yy"},
		"never":                   {nil, nil, no("authorization_pending"), "the code has expired"},
		"slow_down for ever":      {nil, nil, no("slow_down"), "the code has expired"},
		"a token of another type": {nil, nil, say(200, `{"token_type":"mac","access_token":"x"}`), `type "mac"`},
		"no token":                {nil, nil, say(200, `{"token_type":"bearer"}`), "no ID token"},
		"a token of nobody":       {nil, nil, say(200, `{"token_type":"bearer","id_token":"e30.e30.e30"}`), "not good"},
		"a token that is none":    {nil, nil, say(200, `{"token_type":"bearer","id_token":"hello"}`), "not good"},
		"a token of a megabyte":   {nil, nil, say(200, `{"token_type":"bearer","id_token":"`+strings.Repeat("x", 100_000)+`"}`), "more than"},
		"a failure":               {nil, nil, say(500, `{}`), "status 500"},
		"a redirect with everything": {nil, nil, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://b.test/", http.StatusPermanentRedirect)
		}, "308"},
	} {
		i := newCrooked(t)
		for k, v := range c.doc {
			i.doc[k] = v
		}
		if c.device != nil {
			i.device = c.device
		}
		if i.token = c.token; i.token == nil {
			i.token = no("authorization_pending")
		}
		err := i.log(t)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		if len(err.Error()) > 700 || !printable(err.Error()) || strings.Contains(err.Error(), "xxxxxxxx") {
			t.Errorf("%s: the message is %.900q", name, err)
		}
	}
}

// The pauses are as the issuer wants them, and never shorter than it may want.
func TestPauses(t *testing.T) {
	i := newCrooked(t)
	answers := []string{"authorization_pending", "slow_down", "authorization_pending", "access_denied"}
	i.token = func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if r.Form.Get("device_code") != "d" || r.Form.Get("client_id") != "c" || r.Form.Get("client_secret") != "" {
			t.Errorf("it was asked %v", r.Form)
		}
		say(400, `{"error":"`+answers[0]+`"}`)(w, r)
		answers = answers[1:]
	}
	if err := i.log(t); err == nil || len(answers) != 0 {
		t.Errorf("%v, %q are left", err, answers)
	}
	if got := fmt.Sprint(i.waits); got != "[5s 5s 10s 10s]" {
		t.Errorf("it waited %s", got)
	}
}

// A user who gives up, and an issuer that never answers.
func TestGivenUp(t *testing.T) {
	i := newCrooked(t)
	block := make(chan struct{})
	i.token = func(http.ResponseWriter, *http.Request) { <-block }
	defer close(block)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Discover(ctx, i.config())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := p.Device(ctx, func(Code) {}); err == nil || !strings.Contains(err.Error(), "cancel") {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	if _, err := p.Browser(ctx, func(string) { cancel() }); err == nil || !strings.Contains(err.Error(), "no browser came back") {
		t.Errorf("%v", err)
	}
}

// A browser that comes back with a no, or to whom the issuer then gives a token
// of another login.
func TestBrowserRefused(t *testing.T) {
	i := newCrooked(t)
	i.token = say(200, `{"token_type":"Bearer","access_token":"x"}`)
	p, err := Discover(t.Context(), i.config())
	if err != nil {
		t.Fatal(err)
	}
	for back, want := range map[string]string{"error=access_denied": "the login was refused", "code=x": "no ID token"} {
		_, err := p.Browser(t.Context(), func(addr string) {
			u, err := url.Parse(addr)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) < 43 || q.Get("response_type") != "code" {
				t.Errorf("%v", q)
			}
			r, err := http.Get(q.Get("redirect_uri") + "?" + back + "&state=" + q.Get("state"))
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", back, err, want)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(aCode)
	f.Add(`{"error":"slow_down"}`)
	f.Add(`{"token_type":"bearer","id_token":"a.b.c","expires_in":1e300}`)
	f.Fuzz(func(t *testing.T, text string) {
		var d device
		var a answer
		if json.Unmarshal([]byte(text), &d) == nil && d.Code != "" && !printable(d.refusal.Error()) {
			t.Errorf("%q", d.refusal.Error())
		}
		if json.Unmarshal([]byte(text), &a) == nil && a.Code != "" && !printable(a.refusal.Error()) {
			t.Errorf("%q", a.refusal.Error())
		}
	})
}
