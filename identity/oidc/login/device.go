package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Code is what a user is to be told: to go to URL, on any device, and to type
// UserCode in. Complete, if there is one, has the code in it already.
type Code struct {
	URL, Complete, UserCode string
	Expires                 time.Time
}

// device is the answer to a request of RFC 8628, 3.2.
type device struct {
	refusal
	DeviceCode string  `json:"device_code"`
	UserCode   string  `json:"user_code"`
	URL        string  `json:"verification_uri"`
	Complete   string  `json:"verification_uri_complete"`
	Life       float64 `json:"expires_in"` // seconds
	Interval   float64 `json:"interval"`   // seconds
}

// The bounds of what an issuer may ask.
const (
	leastPause   = 5 * time.Second // between two questions; RFC 8628 has it as the default and as a step
	longestPause = time.Minute
	longestLogin = time.Hour
)

// Device logs in by a code. tell is called once, and then it waits until the
// user has said yes or no, or the code has expired.
func (p *Provider) Device(ctx context.Context, tell func(Code)) (Tokens, error) {
	t, err := p.device(ctx, tell)
	if err != nil {
		return t, fmt.Errorf("login: %w", err)
	}
	return t, nil
}

func (p *Provider) device(ctx context.Context, tell func(Code)) (Tokens, error) {
	if p.endpoint.Device == "" {
		return Tokens{}, errors.New("the issuer knows no codes for other devices: log in by browser")
	}
	if err := secure(p.endpoint.Device); err != nil {
		return Tokens{}, err
	}
	var d device
	code, err := p.post(ctx, p.endpoint.Device, url.Values{"client_id": {p.c.ClientID}, "scope": {strings.Join(p.c.Scopes, " ")}}, &d)
	switch {
	case err != nil:
		return Tokens{}, err
	case d.Code != "":
		return Tokens{}, &d.refusal
	case code != http.StatusOK:
		return Tokens{}, fmt.Errorf("the issuer answers with status %d", code)
	case d.DeviceCode == "" || d.UserCode == "" || len(d.UserCode) > 100 || !printable(d.UserCode):
		return Tokens{}, errors.New("the issuer gives no code")
	}
	if err := secure(d.URL); err != nil {
		return Tokens{}, err
	}
	if secure(d.Complete) != nil {
		d.Complete = ""
	}
	end := p.c.Now().Add(min(time.Duration(min(max(d.Life, 0), 1e6))*time.Second, longestLogin))
	tell(Code{URL: d.URL, Complete: d.Complete, UserCode: d.UserCode, Expires: end})
	return p.poll(ctx, d, end)
}

// poll asks again and again whether the user has decided.
func (p *Provider) poll(ctx context.Context, d device, end time.Time) (Tokens, error) {
	pause := max(time.Duration(min(max(d.Interval, 0), 1e6))*time.Second, leastPause)
	for p.c.Now().Before(end) {
		if err := p.c.Wait(ctx, min(pause, longestPause)); err != nil {
			return Tokens{}, err
		}
		t, err := p.grant(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.DeviceCode}}, "")
		var no *refusal
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil:
			return Tokens{}, ctx.Err()
		case !errors.As(err, &no):
			var later interface{ Timeout() bool }
			if !errors.As(err, &later) || !later.Timeout() {
				return Tokens{}, err
			}
			pause *= 2 // RFC 8628, 3.5
		case no.Code == "slow_down":
			pause += leastPause
		case no.Code != "authorization_pending":
			return Tokens{}, err
		}
	}
	return Tokens{}, &refusal{Code: "expired_token"}
}
