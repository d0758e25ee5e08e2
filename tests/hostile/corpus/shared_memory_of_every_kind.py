# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "within": "attempts"}
import mmap, multiprocessing
from multiprocessing import shared_memory
attempt('SharedMemory', lambda: shared_memory.SharedMemory('strop-esc', True, 4096).name)
attempt('shm_open', lambda: libc.shm_open(b'/strop-esc', os.O_RDWR | os.O_CREAT, 0o600) >= 0)
attempt('sem_open', lambda: libc.sem_open(b'/strop-esc', os.O_CREAT, 0o600, 1) != 0)
attempt('Queue', lambda: multiprocessing.Queue()); attempt('Lock', lambda: multiprocessing.Lock()); attempt('Value', lambda: multiprocessing.Value('i'))
attempt('shmget', lambda: got(29, 22295, 4096, 0o1600)); attempt('msgget', lambda: got(68, 22295, 0o1600)); attempt('semget', lambda: got(64, 22295, 1, 0o1600))
attempt('mq_open', lambda: got(240, b'strop-esc', 0o102, 0o600, None)); attempt('memfd', lambda: os.memfd_create('x')); attempt('memfd_secret', lambda: got(447, 0))
attempt('hugetlb', lambda: got(9, 0, 1 << 21, 3, 0x40022, -1, 0)); attempt('shared anonymous', lambda: mmap.mmap(-1, 4096))
attempt('zero', lambda: os.open('/dev/zero', os.O_RDWR)); attempt('shm folder', lambda: os.listdir('/dev/shm')); attempt('kmsg', lambda: os.open('/dev/kmsg', 0))
