// Oracle for the log's formats: Go's own sumdb/note and sumdb/tlog look at bytes that they did not make.
//
// It reads one JSON object a line and answers each with a line: "ok", with what was found, or "no" and why.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Op      string   `json:"op"`
	Key     string   `json:"key"`
	Note    string   `json:"note"`
	Text    string   `json:"text"`
	Folder  string   `json:"folder"`
	Size    int64    `json:"size"`
	Root    []byte   `json:"root"`
	Old     int64    `json:"old"`
	OldRoot []byte   `json:"old_root"`
	Index   int64    `json:"index"`
	Leaf    []byte   `json:"leaf"`
	Proof   [][]byte `json:"proof"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var asked request
		found, err := "", json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			found, err = answer(asked)
		}
		if err != nil {
			fmt.Printf("no %q\n", err.Error())
		} else {
			fmt.Printf("ok %s\n", strconv.Quote(found))
		}
	}
}

func answer(r request) (string, error) {
	switch r.Op {
	case "open":
		verifier, err := note.NewVerifier(r.Key)
		if err != nil {
			return "", err
		}
		opened, err := note.Open([]byte(r.Note), note.VerifierList(verifier))
		if err != nil {
			return "", err
		}
		return opened.Text, nil
	case "sign":
		signer, err := note.NewSigner(r.Key)
		if err != nil {
			return "", err
		}
		signed, err := note.Sign(&note.Note{Text: r.Text}, signer)
		return string(signed), err
	case "inclusion":
		return "", tlog.CheckRecord(proof(r.Proof), r.Size, hash(r.Root), r.Index, hash(r.Leaf))
	case "consistency":
		return "", tlog.CheckTree(tlog.TreeProof(proof(r.Proof)), r.Size, hash(r.Root), r.Old, hash(r.OldRoot))
	case "folder":
		return "", folder(r)
	}
	return "", fmt.Errorf("unknown op %q", r.Op)
}

// folder opens an export: its checkpoint, every tile of hashes (which the reader checks against the root), every entry.
func folder(r request) error {
	raw, err := os.ReadFile(filepath.Join(r.Folder, "checkpoint"))
	if err != nil {
		return err
	}
	text, err := answer(request{Op: "open", Key: r.Key, Note: string(raw)})
	if err != nil {
		return err
	}
	lines := strings.Split(text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		return err
	}
	tree := tlog.Tree{N: size, Hash: hash(root)}
	reader := tlog.TileHashReader(tree, tiles{r.Folder})
	if made, err := tlog.TreeHash(size, reader); err != nil || made != tree.Hash {
		return fmt.Errorf("tree hash %v, %v", made, err)
	}
	for index := int64(0); index < size; index += 256 {
		width := min(256, size-index)
		bundle, err := os.ReadFile(filepath.Join(r.Folder, path(tlog.Tile{H: 8, L: -1, N: index / 256, W: int(width)})))
		if err != nil {
			return err
		}
		places := make([]int64, width)
		for i := range places {
			places[i] = tlog.StoredHashIndex(0, index+int64(i))
		}
		leaves, err := reader.ReadHashes(places)
		if err != nil {
			return err
		}
		for i := range places {
			length := int(binary.BigEndian.Uint16(bundle))
			body := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			if tlog.RecordHash(body) != leaves[i] {
				return fmt.Errorf("entry %d does not hash to its leaf", index+int64(i))
			}
		}
		if len(bundle) > 0 {
			return fmt.Errorf("bundle %d has more than %d entries", index/256, width)
		}
	}
	return nil
}

type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		raw, err := os.ReadFile(filepath.Join(t.folder, path(tile)))
		if err != nil {
			return nil, err
		}
		found = append(found, raw)
	}
	return found, nil
}

// path is where C2SP tlog-tiles keeps what Go names tile/8/L/N: without the height, and entries instead of data.
func path(tile tlog.Tile) string {
	return strings.Replace(strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1), "tile/8/", "tile/", 1)
}

func proof(nodes [][]byte) tlog.RecordProof {
	hashes := make(tlog.RecordProof, len(nodes))
	for i, node := range nodes {
		hashes[i] = hash(node)
	}
	return hashes
}

func hash(raw []byte) (made tlog.Hash) {
	copy(made[:], raw)
	return made
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
