package disk

import (
	"context"
	"fmt"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"squall/faults"
)

// node is a file or folder: everything is passed through, after the rules have
// been asked.
type node struct {
	*fs.LoopbackNode
	rules *rules
}

// file is an open file.
type file struct {
	*fs.LoopbackFile
	rules *rules
}

func newRoot(backing string, r *rules) (fs.InodeEmbedder, error) {
	root, err := fs.NewLoopbackRoot(backing)
	if err != nil {
		return nil, err
	}
	loopback, ok := root.(*fs.LoopbackNode)
	if !ok {
		return nil, fmt.Errorf("root is a %T", root)
	}
	n := &node{loopback, r}
	loopback.RootData.RootNode = n
	return n, nil
}

// WrapChild makes every file and folder below the root one of ours.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	if loopback, ok := child.(*fs.LoopbackNode); ok {
		return &node{loopback, n.rules}
	}
	return child
}

// Mkdir needs room for the folder.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.rules.ask(ctx, operation{grows: always}); errno != 0 {
		return nil, errno
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

// Create wraps the new file; an empty one needs no room.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, handle, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, n.wrap(handle), fuseFlags, errno
}

// Open wraps the file.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	return n.wrap(handle), fuseFlags, errno
}

func (n *node) wrap(handle fs.FileHandle) fs.FileHandle {
	if f, ok := handle.(*fs.LoopbackFile); ok {
		return &file{f, n.rules}
	}
	return handle
}

// CopyFileRange is left to the kernel, which then reads and writes: both are asked about.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// Statfs tells of no room while there is none.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	errno := n.LoopbackNode.Statfs(ctx, out)
	if n.rules.full(ctx) {
		out.Bfree, out.Bavail = 0, 0
	}
	return errno
}

// PassthroughFd: no, the kernel must not read and write past us.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// Read asks and reads.
func (f *file) Read(ctx context.Context, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if errno := f.rules.ask(ctx, operation{kind: faults.DiskRead}); errno != 0 {
		return nil, errno
	}
	return f.LoopbackFile.Read(ctx, buf, off)
}

// Write asks and writes.
func (f *file) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.askWrite(ctx, off, len(data)); errno != 0 {
		return 0, errno
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

func (f *file) askWrite(ctx context.Context, off int64, size int) syscall.Errno {
	return f.rules.ask(ctx, operation{kind: faults.DiskWrite, grows: func() bool { return f.endsBefore(ctx, uint64(off)+uint64(size)) }})
}

func (f *file) endsBefore(ctx context.Context, end uint64) bool {
	var now fuse.AttrOut
	return f.Getattr(ctx, &now) == 0 && now.Size < end
}

// Fsync asks and syncs.
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if errno := f.rules.ask(ctx, operation{kind: faults.DiskSync}); errno != 0 {
		return errno
	}
	return f.LoopbackFile.Fsync(ctx, flags)
}

// Allocate reserves room.
func (f *file) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if errno := f.rules.ask(ctx, operation{kind: faults.DiskWrite, grows: func() bool { return f.endsBefore(ctx, off+size) }}); errno != 0 {
		return errno
	}
	return f.LoopbackFile.Allocate(ctx, off, size, mode)
}
