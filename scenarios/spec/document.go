package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds on what is read, so that a hostile or mistaken file ends quickly.
const (
	maxBytes = 1 << 20 // of a file
	maxNodes = 100_000 // of a document with its aliases followed
	maxDepth = 100     // of nesting
)

// readFile reads a file of at most maxBytes.
func readFile(file string) ([]byte, Problems) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fileProblem(file, err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fileProblem(file, err)
	}
	return src, nil
}

func fileProblem(file string, err error) Problems {
	return Problems{{Pos: Pos{File: file}, Msg: fmt.Sprintf("cannot read: %v", cause(err))}}
}

// cause is a file error without operation and path, which the place says.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// parseOne reads the one document of a file; of several it gives the first, with
// the problem.
func parseOne(file string, src []byte) (*yaml.Node, Problems) {
	docs, ps := parseAll(file, src)
	if len(ps) > 0 {
		return nil, ps
	}
	if len(docs) == 0 {
		return nil, Problems{{Pos: Pos{file, 1, 1}, Msg: "the file is empty"}}
	}
	if len(docs) > 1 {
		return docs[0].Content[0], Problems{{Pos: Pos{file, docs[1].Line, docs[1].Column},
			Msg: "a second document starts here: one file holds one document"}}
	}
	return docs[0].Content[0], nil
}

// parseAll reads all documents of a file.
func parseAll(file string, src []byte) ([]*yaml.Node, Problems) {
	if len(src) > maxBytes {
		return nil, Problems{{Pos: Pos{File: file}, Msg: fmt.Sprintf("the file is larger than %d KiB", maxBytes>>10)}}
	}
	if ps := checkUTF8(file, src); len(ps) > 0 {
		return nil, ps
	}
	// Repeated keys are the decoder's business: it reports them with the rest.
	loader, err := yaml.NewLoader(bytes.NewReader(src), yaml.WithUniqueKeys(false))
	if err != nil {
		return nil, Problems{syntaxProblem(file, err)}
	}
	var docs []*yaml.Node
	for {
		doc := new(yaml.Node)
		if err := loader.Load(doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, Problems{syntaxProblem(file, err)}
		}
		if ps := checkSize(file, doc); len(ps) > 0 {
			return nil, ps
		}
		docs = append(docs, doc)
	}
}

func checkUTF8(file string, src []byte) Problems {
	for line, text := range bytes.Split(src, []byte("\n")) {
		col := 1
		for len(text) > 0 {
			r, size := utf8.DecodeRune(text)
			if r == utf8.RuneError && size == 1 {
				return Problems{{Pos: Pos{file, line + 1, col}, Msg: fmt.Sprintf("byte %#x is not UTF-8 text", text[0])}}
			}
			text = text[size:]
			col++
		}
	}
	return nil
}

func syntaxProblem(file string, err error) Problem {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return Problem{Pos: Pos{File: file}, Msg: fmt.Sprintf("not YAML: %v", err)}
	}
	msg := "not YAML: " + load.Message
	if load.ContextMsg != "" {
		msg += " " + load.ContextMsg
	}
	return Problem{Pos: Pos{file, max(1, load.Mark.Line), max(1, load.Mark.Column)}, Msg: msg}
}

// checkSize refuses documents that are too deep, refer to themselves, or grow
// beyond maxNodes once their aliases are followed. What passes may be decoded
// any number of times without further bounds.
func checkSize(file string, doc *yaml.Node) Problems {
	visited := 0
	var walk func(n *yaml.Node, depth int) string
	walk = func(n *yaml.Node, depth int) string {
		visited++
		switch {
		case visited > maxNodes:
			return fmt.Sprintf("the file holds more than %d values once its aliases are followed", maxNodes)
		case depth > maxDepth:
			return fmt.Sprintf("nested more than %d deep (an alias that holds itself?)", maxDepth)
		case n.Kind == yaml.AliasNode:
			return walk(n.Alias, depth+1)
		}
		for _, c := range n.Content {
			if msg := walk(c, depth+1); msg != "" {
				return msg
			}
		}
		return ""
	}
	if msg := walk(doc, 0); msg != "" {
		return Problems{{Pos: Pos{file, 1, 1}, Msg: msg}}
	}
	return nil
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
