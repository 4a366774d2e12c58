package dextest

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
)

// Browse does what a user does with a browser who was shown an address: fills
// in the forms that come, as user, and follows where they lead. It answers the
// text of the last page.
func (d *Issuer) Browse(addr, user string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Transport: d.HTTP.Transport, Timeout: d.HTTP.Timeout, Jar: jar}
	r, err := browser.Get(addr)
	for range 10 {
		if err != nil {
			return "", err
		}
		page, err := read(r)
		if err != nil {
			return "", err
		}
		action, form := form(page, User{Name: user}.mail())
		if action == "" || r.StatusCode >= http.StatusBadRequest {
			return page, nil
		}
		next, err := r.Request.URL.Parse(action)
		if err != nil {
			return "", err
		}
		r, err = browser.PostForm(next.String(), form)
		if err != nil {
			return "", err
		}
	}
	return "", errors.New("dex: forms without an end")
}

func read(r *http.Response) (string, error) {
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.Request.URL, err)
	}
	return string(b), nil
}

var (
	aForm  = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"(.*?)</form>`)
	aField = regexp.MustCompile(`<input[^>]*name="([^"]*)"[^>]*>`)
	aValue = regexp.MustCompile(`value="([^"]*)"`)
)

// form is the first form of a page, filled in.
func form(page, login string) (action string, fields url.Values) {
	m := aForm.FindStringSubmatch(page)
	if m == nil {
		return "", nil
	}
	fields = url.Values{}
	for _, f := range aField.FindAllStringSubmatch(m[2], -1) {
		value := ""
		if v := aValue.FindStringSubmatch(f[0]); v != nil {
			value = html.UnescapeString(v[1])
		}
		switch f[1] {
		case "login":
			value = login
		case "password":
			value = password
		}
		fields.Set(f[1], value)
	}
	return html.UnescapeString(m[1]), fields
}
