package datapath

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
)

// Defaults of Config and of the program's settings.
const (
	defaultFlows    = 1 << 19
	slotsPerFlow    = 2 // a bucket that is full is then one among many that are not
	slotsPerBucket  = 16
	halfOpenShare   = 8 // half-open records are a part of the flows'
	halfOpenSeconds = 30
	closingSeconds  = 10
	answersPerSec   = 2000 // resets and echo replies, per CPU
	answersBurst    = 200
)

// private maps hold nothing that a new process needs.
var privateMaps = []string{edgeMapWalks, edgeMapLimiters, edgeMapDatagrams, edgeMapHomes}

// load loads the program with its maps. With a pin directory the maps that are
// pinned there are adopted, whatever their size, and new ones are pinned. Those of
// another layout are put aside, for the caller to carry over what they hold.
func load(pinDir string, flows int, edit func(*ebpf.CollectionSpec) error) (*edgeObjects, *bpfStore, error) {
	spec, err := loadEdge()
	if err != nil {
		return nil, nil, fmt.Errorf("read the XDP program: %w", err)
	}
	buckets := bucketsFor(flows)
	spec.Maps[edgeMapFlows].MaxEntries = buckets
	spec.Maps[edgeMapHalfOpen].MaxEntries = max(1, buckets/halfOpenShare)
	aside := older{}
	adopts := false
	if pinDir != "" {
		adopts = pinned(pinDir, edgeMapFlows)
		if err := pinMaps(spec, pinDir, aside); err != nil {
			aside.close()
			return nil, nil, err
		}
	}
	spec.Maps[edgeMapHomes].MaxEntries = max(1, spec.Maps[edgeMapFlows].MaxEntries/homesBuckets)
	if edit != nil {
		if err := edit(spec); err != nil {
			return nil, nil, err
		}
	}
	var objs edgeObjects
	opts := &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: pinDir}}
	if err := spec.LoadAndAssign(&objs, opts); err != nil {
		aside.close()
		if verifier, ok := errors.AsType[*ebpf.VerifierError](err); ok {
			return nil, nil, fmt.Errorf("load the XDP program: %+v", verifier) //nolint:errorlint // %w would print the last lines alone
		}
		return nil, nil, fmt.Errorf("load the XDP program: %w", err)
	}
	if adopts {
		if err := takeHomes(objs.Homes); err != nil {
			aside.close()
			return nil, nil, errors.Join(err, objs.Close())
		}
	}
	return &objs, &bpfStore{maps: objs.edgeMaps, inner: spec.Maps[edgeMapTables].InnerMap, older: aside}, nil
}

// bucketsFor is a power of two of buckets in which a number of flows has room. At
// that number less than one flow in a thousand finds its bucket full, at half of it
// one in a million.
func bucketsFor(flows int) uint32 {
	if flows <= 0 {
		flows = defaultFlows
	}
	buckets := (flows*slotsPerFlow + slotsPerBucket - 1) / slotsPerBucket
	return 1 << bits.Len32(uint32(buckets-1))
}

// pinMaps marks the maps to be pinned, and takes over the sizes of the flow
// tables that are pinned already: their content is worth more than a new size.
func pinMaps(spec *ebpf.CollectionSpec, dir string, aside older) error {
	for name, m := range spec.Maps {
		if isPrivate(name) {
			continue
		}
		m.Pinning = ebpf.PinByName
		if name == edgeMapFlows || name == edgeMapHalfOpen {
			if err := keepSize(m, filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if err := aside.putAside(dir, name, m); err != nil {
			return err
		}
	}
	return nil
}

// keepSize gives a table as many bytes as the pinned one has.
func keepSize(m *ebpf.MapSpec, pin string) error {
	pinned, err := ebpf.LoadPinnedMap(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("adopt the map %s: %w", pin, err)
	}
	defer pinned.Close()
	if pinned.ValueSize() == m.ValueSize {
		m.MaxEntries = pinned.MaxEntries()
	} else {
		m.MaxEntries = max(m.MaxEntries, pinned.MaxEntries()*pinned.ValueSize()/m.ValueSize)
	}
	return nil
}

func isPrivate(name string) bool {
	return name[0] == '.' /* constants of one program */ || slices.Contains(privateMaps, name)
}

// pinNames are all names under which something may be pinned.
func pinNames() ([]string, error) {
	spec, err := loadEdge()
	if err != nil {
		return nil, fmt.Errorf("read the XDP program: %w", err)
	}
	names := []string{linkPin, egressPin}
	for name := range spec.Maps {
		if !isPrivate(name) {
			names = append(names, name, name+asideSuffix)
		}
	}
	return names, nil
}

// prepareSettings fills in what the program needs to start. Keys and clock rate
// are found once and kept: flow records depend on them.
func prepareSettings(s *bpfStore, clock *ebpf.Program, mac [6]byte, flags uint32) error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	if settings.Key == [32]uint64{} {
		if err := binary.Read(rand.Reader, binary.NativeEndian, &settings.Key); err != nil {
			return fmt.Errorf("make hash keys: %w", err)
		}
	}
	if settings.Hz == 0 {
		if settings.Hz, err = measureHz(clock); err != nil {
			return err
		}
	}
	s.masks(&settings)
	settings.Mac = macToMap(mac)
	settings.HalfOpenSeconds, settings.ClosingSeconds = halfOpenSeconds, closingSeconds
	settings.AnswersPerJiffy = max(1, answersPerSec/settings.Hz)
	settings.AnswersBurst = answersBurst
	settings.Flags = flags
	return s.putSettings(settings)
}

// Flags of the settings, as in bpf/maps.h.
const (
	settingEcho      = 1
	settingRedirect  = 2
	settingRestoring = 4
)
