#ifdef __linux__  // the calls in front of the C library's are made by Linux's own numbers

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/file_bytes.h"

// The calls that AtomicFile makes, defined here in front of the C library's, so that a test can let the Nth one fail.
namespace {

enum class Fault { kNone, kError, kInterrupted, kShortWrite };

Fault planned_fault = Fault::kNone;
int planned_error = 0;
int calls_until_fault = -1;

/// Whether this call is the one that is to go wrong.
bool is_faulty_call() {
    return planned_fault != Fault::kNone && calls_until_fault-- == 0;
}

/// What a call returns when it fails as planned.
int fail_as_planned() {
    errno = planned_fault == Fault::kInterrupted ? EINTR : planned_error;
    return -1;
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* data, size_t size) {
    if (descriptor > STDERR_FILENO && is_faulty_call()) {
        if (planned_fault != Fault::kShortWrite) return fail_as_planned();
        size = std::min<size_t>(size, 3);
    }
    return syscall(SYS_write, descriptor, data, size);
}

int fsync(int descriptor) {
    if (is_faulty_call() && planned_fault != Fault::kShortWrite) return fail_as_planned();
    return static_cast<int>(syscall(SYS_fsync, descriptor));
}

int link(const char* from, const char* to) noexcept {
    if (is_faulty_call() && planned_fault == Fault::kError) return fail_as_planned();
    return static_cast<int>(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int rename(const char* from, const char* to) noexcept {
    if (is_faulty_call() && planned_fault == Fault::kError) return fail_as_planned();
    return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0u));
}
}

namespace plasticity {
namespace {

using test::names_in;
using test::read_bytes;
using test::TempDir;
using test::write_bytes;

/// Lets call number `n` go wrong while it lives.
class PlannedFault {
public:
    PlannedFault(Fault fault, int error, int n) {
        planned_error = error;
        calls_until_fault = n;
        planned_fault = fault;
    }
    ~PlannedFault() { planned_fault = Fault::kNone; }
    PlannedFault(const PlannedFault&) = delete;
    PlannedFault& operator=(const PlannedFault&) = delete;

    static bool has_happened() { return calls_until_fault < 0; }
};

constexpr const char* kOld = "old content";
constexpr const char* kNew = "new content, in one piece";

/// Writes kNew over kOld with call number n failing. @return whether that call was ever made
bool replace_with_fault(Fault fault, int error, int n, Overwrite overwrite) {
    const TempDir dir;
    if (overwrite == Overwrite::kReplace) write_bytes(dir / "out", kOld);
    const std::size_t files_before = names_in(dir.path()).size();
    bool succeeded = true;
    bool happened = false;
    {
        const PlannedFault planned(fault, error, n);
        try {
            write_text_file(dir / "out", kNew, overwrite);
        } catch (const Error& problem) {
            succeeded = false;
            EXPECT_EQ(problem.kind(), ErrorKind::kIo) << problem.what();
            EXPECT_NE(std::string_view(problem.what()).find("out"), std::string_view::npos);
        }
        happened = PlannedFault::has_happened();
    }
    if (succeeded) {
        EXPECT_EQ(read_bytes(dir / "out"), kNew);
        EXPECT_EQ(names_in(dir.path()).size(), 1u);
    } else {
        EXPECT_EQ(fault, Fault::kError) << "interrupted calls and short writes are to be continued";
        EXPECT_EQ(names_in(dir.path()).size(), files_before) << "a temporary is left";
        if (overwrite == Overwrite::kReplace) {
            // Only the very last call, the folder's fsync, comes when the new file is in place.
            const std::string found = read_bytes(dir / "out");
            EXPECT_TRUE(found == kOld || found == kNew) << found;
        }
    }
    return happened;
}

class AtomicFileFault : public ::testing::TestWithParam<Overwrite> {
protected:
    void fail_every_call(Fault fault, int error) const {
        int n = 0;
        while (replace_with_fault(fault, error, n, GetParam())) ++n;
        EXPECT_GE(n, 3) << "write, fsync and rename or link at least";
    }
};
INSTANTIATE_TEST_SUITE_P(Targets, AtomicFileFault, ::testing::Values(Overwrite::kRefuse, Overwrite::kReplace));

TEST_P(AtomicFileFault, ErrorsLeaveTheOldFileOrTheWholeNewOne) {
    fail_every_call(Fault::kError, EIO);
}
TEST_P(AtomicFileFault, FullDisksLeaveTheOldFileOrTheWholeNewOne) {
    fail_every_call(Fault::kError, ENOSPC);
}
TEST_P(AtomicFileFault, InterruptedCallsAreRepeated) {
    fail_every_call(Fault::kInterrupted, 0);
}
TEST_P(AtomicFileFault, ShortWritesAreContinued) {
    fail_every_call(Fault::kShortWrite, 0);
}

}  // namespace
}  // namespace plasticity

#endif
