// Package disk serves data folders over FUSE so that faults can befall what
// services do there. It is the data plane of disk faults, a process of its own
// (squall disk), and passes through to an ordinary folder whatever no rule concerns.
//
// Mounts are made in the mount namespace that the supervisor and its services
// share and nobody else: when the last of them has ended, however that came,
// the kernel removes the mount, so there is none to be left over.
package disk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Volume is one folder that is served.
type Volume struct {
	Name    string // of the service whose data it is
	Backing string // folder that holds what is in it
	Mount   string // folder where services see it
}

// ParseVolumes reads them from arguments: name, backing, mount, and again.
func ParseVolumes(args []string) (volumes []Volume, err error) {
	if len(args) == 0 || len(args)%3 != 0 {
		return nil, fmt.Errorf("want NAME BACKING MOUNT for each volume, got %d arguments", len(args))
	}
	for v := range slices.Chunk(args, 3) {
		volumes = append(volumes, Volume{Name: v[0], Backing: v[1], Mount: v[2]})
	}
	return volumes, nil
}

// attrTimeout is how long the kernel may trust what it knows of a file. Nothing
// changes a backing folder but we; hard links share an inode number with us as below.
const attrTimeout = time.Second

// Serve mounts the volumes, answers the API on l until ctx ends, and unmounts.
func Serve(ctx context.Context, l net.Listener, volumes []Volume) (err error) {
	s := &server{rules: map[string]*rules{}}
	for _, v := range volumes {
		served, mountErr := s.mount(v)
		if mountErr != nil {
			return errors.Join(fmt.Errorf("disk of %s: %w", v.Name, mountErr), l.Close(), err)
		}
		defer func() { err = errors.Join(err, served.Unmount()) }()
	}
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 2 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = web.Close() })()
	if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

func (s *server) mount(v Volume) (*fuse.Server, error) {
	r := &rules{}
	s.rules[v.Name] = r
	root, err := newRoot(v.Backing, r)
	if err != nil {
		return nil, err
	}
	timeout := attrTimeout
	return fs.Mount(v.Mount, root, &fs.Options{
		AttrTimeout: &timeout, EntryTimeout: &timeout, NullPermissions: true,
		MountOptions: fuse.MountOptions{
			AllowOther: true, DirectMountStrict: true, // services may have users of their own; no helper program
			Options: []string{"default_permissions"},
			FsName:  v.Backing, Name: "squall",
		},
	})
}
