# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts", "why": "nothing of it can be changed or left"}
where = os.getcwd()
for way in (lambda: os.chmod(where, 0o777), lambda: os.chmod('.', 0o777), lambda: os.rename(where, where + 'x'), lambda: os.rmdir(where), lambda: os.setxattr('.', 'user.a', b'x'),
            lambda: os.utime('.', (0, 0)), lambda: os.chown('.', 1, 1), lambda: os.fchmod(os.open('.', 0), 0o777)):
    attempt('change of the folder', lambda: way() or 'changed')
attempt('neighbours', lambda: os.listdir('..')); attempt('others', lambda: [n for n in os.listdir('/tmp') if n.startswith('strop-program')])
