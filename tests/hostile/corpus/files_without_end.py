# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "empty files, links, folders, a sparse file of terabytes: in its own folder neither"}
made = 0
for folder in ('.', os.getcwd(), '/tmp', '/dev/shm', '/var/tmp', os.path.dirname(os.__file__)):
    for way in (lambda p: os.open(p, os.O_CREAT | os.O_WRONLY), os.mkdir, os.mkfifo, lambda p: os.mknod(p, 0o100600), lambda p: os.symlink('x', p), lambda p: os.link(os.__file__, p),
                lambda p: os.open(folder, 0o20200000 | os.O_RDWR, 0o600), lambda p: os.rename(os.__file__, p), lambda p: os.truncate(os.__file__, 1 << 42)):
        for i in range(20):
            try: way(f'{folder}/strop-esc-{i}'); made += 1
            except OSError: break
attempt('made', lambda: made)
attempt('terabytes', lambda: os.ftruncate(0, 1 << 42) or 'grown'); attempt('fallocate', lambda: os.posix_fallocate(0, 0, 1 << 30) or 'grown')
