#include "io/sandbox.h"

#include <fmt/format.h>

#include "core/error.h"

#ifdef __linux__
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#endif

namespace plasticity {

namespace {

constexpr const char* kRemedy = "take Linux from 6.2 on (x86-64 or ARM64), with Landlock switched on";

}  // namespace

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
namespace {

#ifdef __x86_64__
constexpr std::uint32_t kAuditArch = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t kAuditArch = AUDIT_ARCH_AARCH64;
#endif

/// Of Landlock's second and third version, which older headers lack.
constexpr std::uint64_t kRefer = std::uint64_t{1} << 13, kTruncate = std::uint64_t{1} << 14;
constexpr long kLeastVersion = 3;  // earlier ones let files be cut short

/// Everything that changes a file or a folder.
constexpr std::uint64_t kWrites = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                  LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                                  LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                  LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                  LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | kRefer | kTruncate;

/// Calls that reach other processes or machines, or that change files in ways Landlock does not see.
constexpr std::array kRefusedCalls{
#ifdef __x86_64__
    SYS_fork,
    SYS_vfork,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utime,
    SYS_utimes,
#endif
    SYS_socket,
    SYS_connect,
    SYS_kill,
    SYS_tkill,
    SYS_tgkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_io_uring_setup,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_pidfd_getfd,
    SYS_mount,
    SYS_umount2,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_truncate,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_utimensat,
    SYS_prlimit64,
    SYS_setpriority,
    SYS_sched_setaffinity,
};

constexpr sock_filter load(std::uint32_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}
constexpr sock_filter answer(std::uint32_t what) {
    return BPF_STMT(BPF_RET | BPF_K, what);
}
/// Goes on with the next instruction where equal, else jumps over it.
constexpr sock_filter unless_equal_skip_one(std::uint32_t value) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}

constexpr std::uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr std::size_t kFilterLength = 13 + 2 * kRefusedCalls.size();

/// Threads are allowed, processes are not: clone wants CLONE_THREAD, and clone3, whose flags lie in memory that a
/// filter does not see, is said not to exist, for which the C library has clone.
constexpr std::array<sock_filter, kFilterLength> make_filter() {
    std::array<sock_filter, kFilterLength> filter{};
    std::size_t n = 0;
    const auto add = [&](sock_filter instruction) { filter[n++] = instruction; };
    add(load(offsetof(seccomp_data, arch)));
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAuditArch, 1, 0));
    add(answer(SECCOMP_RET_KILL_PROCESS));
    add(load(offsetof(seccomp_data, nr)));
    constexpr std::uint32_t kOtherNumbers = 0x4000'0000u;  // x32's calls, by which the rest could be gone round
    add(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kOtherNumbers, 0, 1));
    add(answer(kRefuse));
    for (const long call : kRefusedCalls) {
        add(unless_equal_skip_one(static_cast<std::uint32_t>(call)));
        add(answer(kRefuse));
    }
    add(unless_equal_skip_one(SYS_clone3));
    add(answer(SECCOMP_RET_ERRNO | ENOSYS));
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3));
    add(load(offsetof(seccomp_data, args)));
    add(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0));
    add(answer(kRefuse));
    add(answer(SECCOMP_RET_ALLOW));
    return filter;
}

constexpr std::array<sock_filter, kFilterLength> kFilter = make_filter();

bool set_limit(int resource, std::uint64_t value) {
    const rlimit limit{value, value};
    return setrlimit(static_cast<decltype(RLIMIT_CPU)>(resource), &limit) == 0;
}

bool set_limits(const Sandbox& limits) {
    return set_limit(RLIMIT_CPU, limits.cpu_seconds) && set_limit(RLIMIT_AS, limits.memory_bytes) &&
           set_limit(RLIMIT_FSIZE, limits.file_bytes) && set_limit(RLIMIT_NOFILE, limits.open_files) &&
           set_limit(RLIMIT_CORE, 0);
}

long landlock_version() {
    return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

}  // namespace

std::string sandbox_obstacle() {
    const long version = landlock_version();
    if (version < 0) return fmt::format("this system has no Landlock ({}); {}", system_reason(errno), kRemedy);
    if (version < kLeastVersion)
        return fmt::format("this system has version {} of Landlock; expected at least {}; {}", version, kLeastVersion,
                           kRemedy);
    std::uint32_t action = SECCOMP_RET_ERRNO;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
        return fmt::format("this system has no seccomp filters ({})", system_reason(errno));
    return "";
}

PreparedSandbox::PreparedSandbox(const Sandbox& sandbox) : limits_(sandbox) {
    const std::string obstacle = sandbox_obstacle();
    if (!obstacle.empty()) throw Error(ErrorKind::kUsage, "sandbox: " + obstacle);
    landlock_ruleset_attr handled{};
    handled.handled_access_fs = kWrites;
    const auto ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0));
    landlock_path_beneath_attr own{};
    own.allowed_access = handled.handled_access_fs;
    own.parent_fd = open(sandbox.folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const bool is_ruled = ruleset >= 0 && own.parent_fd >= 0 &&
                          syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &own, 0) == 0;
    const int error = errno;
    if (own.parent_fd >= 0) close(own.parent_fd);
    if (!is_ruled) {
        if (ruleset >= 0) close(ruleset);
        throw Error(ErrorKind::kUsage, fmt::format("sandbox: {}: {}", sandbox.folder.string(), system_reason(error)));
    }
    ruleset_ = ruleset;
}

PreparedSandbox::~PreparedSandbox() {
    if (ruleset_ >= 0) close(ruleset_);
}

const char* PreparedSandbox::enter() const {
    // A network of its own, with nothing in it, where the system permits; connections are refused by the filter anyway.
    [[maybe_unused]] const int separated = unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC);
    if (!set_limits(limits_)) return "sandbox: limits";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "sandbox: privileges";
    if (syscall(SYS_landlock_restrict_self, ruleset_, 0) != 0) return "sandbox: Landlock";
    const sock_fprog program{static_cast<unsigned short>(kFilter.size()), const_cast<sock_filter*>(kFilter.data())};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return "sandbox: seccomp";
    return nullptr;
}

#else

std::string sandbox_obstacle() {
    return fmt::format("this system has no Landlock and no seccomp; {}", kRemedy);
}

PreparedSandbox::PreparedSandbox(const Sandbox& sandbox) : limits_(sandbox) {
    throw Error(ErrorKind::kUsage, "sandbox: " + sandbox_obstacle());
}

PreparedSandbox::~PreparedSandbox() = default;

const char* PreparedSandbox::enter() const {
    return "sandbox: none on this system";
}

#endif

}  // namespace plasticity
