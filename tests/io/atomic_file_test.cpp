#include "io/atomic_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "core/error.h"
#include "core/interrupt.h"
#include "io/file_bytes.h"

namespace plasticity {
namespace {

using test::expect_error;
using test::names_in;
using test::put;
using test::read_bytes;
using test::TempDir;
using test::write_bytes;

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
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{".out.partial"}));
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

TEST(AtomicFile, TakesOverWhatKilledProcessesLeft) {
    const TempDir dir;
    write_bytes(dir / ".out.partial", "left by a run that had more to say");
    write_bytes(dir / ".out.partial.journal", "left");
    AtomicFile file(dir / "out", Overwrite::kRefuse);
    put(file, "new");
    file.commit();
    EXPECT_EQ(read_bytes(dir / "out"), "new");
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{"out"}));
}

TEST(AtomicFile, RefusesToWriteWhatAnotherIsWriting) {
    const TempDir dir;
    AtomicFile first(dir / "out", Overwrite::kReplace);
    put(first, "first");
    expect_error(ErrorKind::kIo, {"out", "another process is writing it"},
                 [&] { AtomicFile(dir / "out", Overwrite::kReplace); });
    first.commit();
    EXPECT_EQ(read_bytes(dir / "out"), "first");
    write_text_file(dir / "out", "second", Overwrite::kReplace);
    EXPECT_EQ(read_bytes(dir / "out"), "second");
}

TEST(AtomicFile, NeverWritesIntoWhatLiesInTheWay) {
    const TempDir dir;
    const auto partial = dir / ".out.partial";
    write_bytes(dir / "precious", "kept");
    const std::vector<std::function<void()>> traps{
        [&] { std::filesystem::create_symlink("precious", partial); },
        [&] { std::filesystem::create_symlink("absent", partial); },
        [&] { std::filesystem::create_hard_link(dir / "precious", partial); },
        [&] { ASSERT_EQ(mkfifo(partial.c_str(), 0600), 0); },
    };
    for (const auto& set_trap : traps) {
        set_trap();
        std::filesystem::create_symlink("precious", dir / ".out.partial.journal");
        for (const char* key : {"", "key"}) {
            AtomicFile file(dir / "out", {.overwrite = Overwrite::kReplace, .resume_key = key});
            put(file, "new");
            file.commit();
            EXPECT_EQ(read_bytes(dir / "out"), "new");
            EXPECT_EQ(read_bytes(dir / "precious"), "kept");
            EXPECT_EQ(names_in(dir.path()).size(), 2u);
        }
    }
    std::filesystem::create_directory(partial);
    expect_error(ErrorKind::kIo, {"out"}, [&] { AtomicFile(dir / "out", Overwrite::kReplace); });
}

TEST(AtomicFile, TakesNamesAsLongAsTheFileSystemDoes) {
    const TempDir dir;
    write_text_file(dir / std::string(250, 'n'), "text", Overwrite::kRefuse);
    EXPECT_EQ(names_in(dir.path()), (std::vector<std::string>{std::string(250, 'n')}));
    // Their temporaries must still be told apart.
    AtomicFile one(dir / (std::string(249, 'n') + "1"), Overwrite::kRefuse);
    const AtomicFile two(dir / (std::string(249, 'n') + "2"), Overwrite::kRefuse);
    one.commit();
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
    const auto absent = dir / "absent" / "out";
    expect_error(ErrorKind::kIo, {"absent", "No such file", "create the folder"},
                 [&] { AtomicFile(absent, Overwrite::kRefuse); });
    // The same is said beforehand where it is asked for.
    write_bytes(dir / "old", "old");
    expect_error(ErrorKind::kIo, {"absent", "create the folder"},
                 [&] { require_writable(absent, Overwrite::kRefuse); });
    expect_error(ErrorKind::kIo, {"Not a directory"},
                 [&] { require_writable(dir / "old" / "out", Overwrite::kRefuse); });
    expect_error(ErrorKind::kUsage, {"--force"}, [&] { require_writable(dir / "old", Overwrite::kRefuse); });
    expect_error(ErrorKind::kUsage, {"folder"}, [&] { require_writable(dir.path(), Overwrite::kReplace); });
    require_writable(dir / "old", Overwrite::kReplace);
    require_writable(dir / "new", Overwrite::kRefuse);
    EXPECT_EQ(names_in(dir.path()).size(), 1u);
}

TEST(AtomicFile, ChecksFreeSpaceBeforehand) {
    const TempDir dir;
    expect_error(ErrorKind::kIo, {"out", "needs 4.61 EB", "4611686018427387904 bytes", "free"},
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
