package dialect

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// answerXML returns the text of the element at a path of names, which must be
// there once, in the XML of a backend's answer. What is not such XML is an error
// that says what came instead, without a word of it.
func answerXML(resp *http.Response, at string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("dialect: read the backend's answer: %w", err)
	case len(b) > maxAnswer:
		return "", fmt.Errorf("dialect: the backend's answer is over %d bytes", maxAnswer)
	case len(bytes.TrimSpace(b)) == 0:
		return "", errors.New("dialect: the backend's answer is empty")
	case isWebPage(resp.Header, b):
		return "", errors.New("dialect: the backend answered HTML, not its API; check the backend's URL")
	case bytes.TrimSpace(b)[0] != '<':
		return "", errors.New("dialect: the backend answered something that is not XML; check the backend's URL")
	}
	text, err := elementText(b, at)
	if err != nil {
		return "", fmt.Errorf("dialect: the backend's answer: %w", err)
	}
	return text, nil
}

// isWebPage is isHTML for an API whose own answers begin with "<".
func isWebPage(h http.Header, body []byte) bool {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	start := strings.ToLower(string(bytes.TrimSpace(body[:min(len(body), 256)])))
	return media == "text/html" || media == "application/xhtml+xml" ||
		strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

// maxDepth is how deep the elements of an answer may be nested.
const maxDepth = 16

// elementReader walks through a document for one element.
type elementReader struct {
	at    string
	path  []string
	roots int
	found int
	text  strings.Builder
}

// elementText returns the text, without the white space around it, of the element
// at a path. Two of its name, wherever they are, are an error, for two parsers
// might not agree on which is meant; so are a DTD, elements in it, and a second
// document.
func elementText(doc []byte, at string) (string, error) {
	r := elementReader{at: at}
	dec := xml.NewDecoder(bytes.NewReader(doc))
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, _ := dec.InputPos()
			return "", fmt.Errorf("malformed XML in line %d", line) // the library's words may hold the document's
		}
		if err := r.take(t); err != nil {
			return "", err
		}
	}
	if r.found == 0 {
		return "", fmt.Errorf("no %s in it", at)
	}
	return strings.Trim(r.text.String(), " \t\r\n"), nil
}

func (r *elementReader) take(t xml.Token) error {
	switch t := t.(type) {
	case xml.Directive:
		return errors.New("XML with a document type")
	case xml.ProcInst:
		if t.Target != "xml" {
			return errors.New("XML with a processing instruction")
		}
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		r.path = r.path[:len(r.path)-1]
	case xml.CharData:
		if len(r.path) == 0 && len(bytes.TrimSpace(t)) > 0 {
			return errors.New("text outside of the XML document")
		}
		if r.inside() {
			r.text.Write(t)
		}
	}
	return nil
}

func (r *elementReader) start(t xml.StartElement) error {
	if r.inside() {
		return fmt.Errorf("%s holds an element", r.at)
	}
	if len(r.path) == maxDepth {
		return errors.New("XML nested too deep")
	}
	if len(r.path) == 0 {
		if r.roots++; r.roots > 1 {
			return errors.New("two XML documents")
		}
	}
	name := t.Name.Local
	if t.Name.Space != "" {
		name = t.Name.Space + ":" + name
	}
	r.path = append(r.path, name)
	if t.Name.Local != r.at[strings.LastIndexByte(r.at, '/')+1:] {
		return nil
	}
	if r.found++; r.found > 1 || !r.inside() {
		return fmt.Errorf("not exactly one %s", r.at)
	}
	return nil
}

// inside reports whether the reader is in the element it looks for.
func (r *elementReader) inside() bool { return strings.Join(r.path, "/") == r.at }
