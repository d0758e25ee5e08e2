# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]], "why": "everything of x86-64 that programs of the standard library do not need, by number", "within": "attempts"}
names = """29 shmget 30 shmat 31 shmctl 64 semget 65 semop 66 semctl 68 msgget 69 msgsnd 70 msgrcv 71 msgctl 42 connect 43 accept
46 sendmsg 47 recvmsg 49 bind 50 listen 73 flock 74 fsync 75 fdatasync 76 truncate 77 ftruncate 82 rename 83 mkdir 84 rmdir
85 creat 86 link 87 unlink 88 symlink 90 chmod 91 fchmod 92 chown 94 lchown 101 ptrace 103 syslog 105 setuid 106 setgid
113 setreuid 114 setregid 116 setgroups 117 setresuid 119 setresgid 122 setfsuid 126 capset 132 utime 133 mknod 135 personality
136 ustat 139 sysfs 141 setpriority 142 sched_setparam 144 sched_setscheduler 149 mlock 151 mlockall 153 vhangup 154 modify_ldt
155 pivot_root 160 setrlimit 161 chroot 162 sync 163 acct 164 settimeofday 165 mount 166 umount2 167 swapon 168 swapoff
169 reboot 170 sethostname 171 setdomainname 172 iopl 173 ioperm 175 init_module 176 delete_module 179 quotactl 187 readahead
188 setxattr 191 getxattr 194 listxattr 197 removexattr 203 sched_setaffinity 206 io_setup 209 io_submit 212 lookup_dcookie
216 remap_file_pages 227 clock_settime 237 mbind 238 set_mempolicy 239 get_mempolicy 240 mq_open 241 mq_unlink 242 mq_timedsend
246 kexec_load 248 add_key 249 request_key 250 keyctl 251 ioprio_set 253 inotify_init 254 inotify_add_watch 256 migrate_pages
258 mkdirat 259 mknodat 260 fchownat 263 unlinkat 264 renameat 265 linkat 266 symlinkat 268 fchmodat 272 unshare 274 get_robust_list
275 splice 276 tee 277 sync_file_range 278 vmsplice 279 move_pages 280 utimensat 285 fallocate 288 accept4 294 inotify_init1
297 rt_tgsigqueueinfo 298 perf_event_open 300 fanotify_init 301 fanotify_mark 303 name_to_handle_at 304 open_by_handle_at
305 clock_adjtime 306 syncfs 307 sendmmsg 308 setns 310 process_vm_readv 311 process_vm_writev 312 kcmp 313 finit_module
314 sched_setattr 317 seccomp 319 memfd_create 320 kexec_file_load 321 bpf 323 userfaultfd 325 mlock2 326 copy_file_range
329 pkey_mprotect 330 pkey_alloc 424 pidfd_send_signal 425 io_uring_setup 426 io_uring_enter 427 io_uring_register 428 open_tree
429 move_mount 430 fsopen 431 fsconfig 432 fsmount 433 fspick 434 pidfd_open 438 pidfd_getfd 440 process_madvise 442 mount_setattr
443 quotactl_fd 445 landlock_add_rule 447 memfd_secret 448 process_mrelease 450 set_mempolicy_home_node 451 cachestat 452 fchmodat2
453 map_shadow_stack 457 statmount 458 listmount 459 lsm_get_self_attr 460 lsm_set_self_attr 461 lsm_list_modules 462 mseal
463 setxattrat 466 removexattrat 467 open_tree_attr 468 file_getattr 469 file_setattr 470 listns 471 rseq_slice_yield""".split()
for number, name in zip(names[::2], names[1::2]):
    attempt(name, lambda: reached(int(number), -1, -1, -1, -1, -1, -1))
for number in range(472, 600):
    attempt(f"number {number}", lambda: reached(number, -1, -1, -1, -1, -1, -1))
