#include "io/atomic_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/error.h"
#include "core/interrupt.h"
#include "io/file_bytes.h"

namespace plasticity {
namespace {

using test::expect_error;
using test::names_in;
using test::read_bytes;
using test::TempDir;
using test::write_bytes;

void put(AtomicFile& file, std::string_view text) {
    file.write(std::as_bytes(std::span(text)));
}

/// Writes beyond this many bytes of one file fail, as on a full disk, while the object lives.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        getrlimit(RLIMIT_FSIZE, &before_);
        old_handler_ = signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &before_);
        signal(SIGXFSZ, old_handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit before_{};
    void (*old_handler_)(int) = nullptr;
};

TEST(AtomicFile, AppearsWholeOnCommit) {
    const TempDir dir;
    AtomicFile file(dir / "out", Overwrite::kRefuse, 10);
    put(file, "01234");
    put(file, "56789");
    EXPECT_EQ(file.written(), 10u);
    EXPECT_FALSE(std::filesystem::exists(dir / "out"));
    file.commit();
    EXPECT_EQ(read_bytes(dir / "out"), "0123456789");
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"out"}));
}

TEST(AtomicFile, NamesItsTemporaryBesideTheTarget) {
    const TempDir dir;
    const AtomicFile file(dir / "out", Overwrite::kRefuse);
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{".out." + std::to_string(getpid()) + ".partial"}));
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
    const TempDir dir;
    {
        AtomicFile file(dir / "out", Overwrite::kRefuse);
        put(file, "half");
    }
    EXPECT_TRUE(names_in(dir.path()).empty());
}

TEST(AtomicFile, LeavesTheOldFileWhenInterrupted) {
    const TempDir dir;
    write_bytes(dir / "out", "old");
    try {
        AtomicFile file(dir / "out", Overwrite::kReplace);
        put(file, "new");
        throw Interrupted(SIGINT);
    } catch (const Interrupted& interrupted) {
        EXPECT_EQ(interrupted.exit_code(), 130);
    }
    EXPECT_EQ(read_bytes(dir / "out"), "old");
    EXPECT_EQ(names_in(dir.path()).size(), 1u);
}

TEST(AtomicFile, ReplacesOnlyWhereAsked) {
    const TempDir dir;
    write_bytes(dir / "out", "old");
    expect_error(ErrorKind::kUsage, {"out", "exists", "--force"}, [&] { AtomicFile(dir / "out", Overwrite::kRefuse); });
    AtomicFile file(dir / "out", Overwrite::kReplace);
    put(file, "new");
    file.commit();
    EXPECT_EQ(read_bytes(dir / "out"), "new");
}

TEST(AtomicFile, RefusesATargetThatCameMeanwhile) {
    const TempDir dir;
    {
        AtomicFile file(dir / "out", Overwrite::kRefuse);
        write_bytes(dir / "out", "another's");
        expect_error(ErrorKind::kUsage, {"--force"}, [&] { file.commit(); });
    }
    EXPECT_EQ(read_bytes(dir / "out"), "another's");
    EXPECT_EQ(names_in(dir.path()).size(), 1u);
}

TEST(AtomicFile, StepsAsideForLeftoversOfKilledProcesses) {
    const TempDir dir;
    const std::string leftover = ".out." + std::to_string(getpid()) + ".partial";
    write_bytes(dir / leftover, "left");
    {
        AtomicFile file(dir / "out", Overwrite::kRefuse);
        put(file, "new");
        file.commit();
    }
    EXPECT_EQ(read_bytes(dir / "out"), "new");
    EXPECT_EQ(read_bytes(dir / leftover), "left");
}

TEST(AtomicFile, TakesNamesAsLongAsTheFileSystemDoes) {
    const TempDir dir;
    write_text_file(dir / std::string(250, 'n'), "text", Overwrite::kRefuse);
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{std::string(250, 'n')}));
}

TEST(AtomicFile, ReplacesALinkAndNotWhatItPointsTo) {
    const TempDir dir;
    write_bytes(dir / "precious", "kept");
    std::filesystem::create_symlink("precious", dir / "out");
    write_text_file(dir / "out", "new", Overwrite::kReplace);
    EXPECT_EQ(read_bytes(dir / "precious"), "kept");
    EXPECT_EQ(read_bytes(dir / "out"), "new");
}

TEST(AtomicFile, RefusesImpossibleTargets) {
    const TempDir dir;
    expect_error(ErrorKind::kUsage, {"folder"}, [&] { AtomicFile(dir.path(), Overwrite::kReplace); });
    expect_error(ErrorKind::kUsage, {"device"}, [&] { AtomicFile("/dev/null", Overwrite::kReplace); });
    expect_error(ErrorKind::kIo, {"absent", "No such file", "create the folder"},
                 [&] { AtomicFile(dir / "absent" / "out", Overwrite::kRefuse); });
}

TEST(AtomicFile, ChecksFreeSpaceBeforehand) {
    const TempDir dir;
    expect_error(ErrorKind::kIo, {"out", "needs 4.61 EB", "free"},
                 [&] { AtomicFile(dir / "out", Overwrite::kRefuse, std::uint64_t{1} << 62); });
    EXPECT_TRUE(names_in(dir.path()).empty());
}

TEST(AtomicFile, ReportsAFailedWriteAndLeavesNothing) {
    const TempDir dir;
    write_bytes(dir / "out", "old");
    {
        const FileSizeLimit limit(4096);
        AtomicFile file(dir / "out", Overwrite::kReplace);
        const std::string block(3000, 'x');
        put(file, block);
        // 1096 bytes of this one fit: a short write comes before the error.
        expect_error(ErrorKind::kIo, {"out", "byte 4096"}, [&] { put(file, block); });
    }
    EXPECT_EQ(read_bytes(dir / "out"), "old");
    EXPECT_EQ(names_in(dir.path()).size(), 1u);
}

TEST(TextFile, RoundTrips) {
    const TempDir dir;
    const std::string text("line\nzero\0byte\xff", 15);
    write_text_file(dir / "t", text, Overwrite::kRefuse);
    EXPECT_EQ(read_text_file(dir / "t"), text);
    write_text_file(dir / "empty", "", Overwrite::kRefuse);
    EXPECT_EQ(read_text_file(dir / "empty"), "");
}

TEST(TextFile, RefusesLargerFilesThanAllowed) {
    const TempDir dir;
    write_bytes(dir / "t", "12345");
    EXPECT_EQ(read_text_file(dir / "t", 5), "12345");
    expect_error(ErrorKind::kMalformed, {"5 bytes", "at most 4"}, [&] { read_text_file(dir / "t", 4); });
    expect_error(ErrorKind::kMissing, {"absent"}, [&] { read_text_file(dir / "absent"); });
}

}  // namespace
}  // namespace plasticity
