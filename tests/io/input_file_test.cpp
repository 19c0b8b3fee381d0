#include "io/input_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <utility>

#include "core/error.h"
#include "io/file_bytes.h"

namespace plasticity {
namespace {

using test::expect_error;
using test::TempDir;
using test::write_bytes;

std::string text_at(const InputFile& file, std::uint64_t offset, std::size_t length) {
    std::string text(length, '\0');
    file.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
}

TEST(InputFile, ReadsAtPositions) {
    const TempDir dir;
    const InputFile file(write_bytes(dir / "f", "0123456789"));
    EXPECT_EQ(file.size(), 10u);
    EXPECT_EQ(text_at(file, 7, 3), "789");
    EXPECT_EQ(text_at(file, 0, 2), "01");
    EXPECT_EQ(text_at(file, 10, 0), "");
    file.require_unchanged();
}

TEST(InputFile, RefusesRangesThatLeaveTheFile) {
    const TempDir dir;
    const InputFile file(write_bytes(dir / "f", "0123456789"));
    for (const auto& [offset, length] : {std::pair<std::uint64_t, std::size_t>{8, 3}, {11, 0}, {~0ull, 2}})
        expect_error(ErrorKind::kMalformed, {"10 bytes"}, [&] { text_at(file, offset, length); });
}

TEST(InputFile, FollowsSymbolicLinks) {
    const TempDir dir;
    write_bytes(dir / "blob", "data");
    std::filesystem::create_symlink("blob", dir / "link");
    EXPECT_EQ(text_at(InputFile(dir / "link"), 0, 4), "data");
}

TEST(InputFile, RefusesWhatIsNoRegularFile) {
    const TempDir dir;
    ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
    expect_error(ErrorKind::kMalformed, {"fifo", "pipe"}, [&] { InputFile file(dir / "fifo"); });
    expect_error(ErrorKind::kMalformed, {"folder"}, [&] { InputFile file(dir.path()); });
    expect_error(ErrorKind::kMissing, {"absent"}, [&] { InputFile file(dir / "absent"); });
    expect_error(ErrorKind::kMissing, {"NUL"}, [&] { InputFile file(std::string("a\0b", 3)); });
    expect_error(ErrorKind::kMissing, {"empty"}, [&] { InputFile file{std::string()}; });
}

TEST(InputFile, NoticesThatTheFileShrank) {
    const TempDir dir;
    const InputFile file(write_bytes(dir / "f", "0123456789"));
    std::filesystem::resize_file(dir / "f", 4);
    expect_error(ErrorKind::kIo, {"shortened"}, [&] { text_at(file, 0, 10); });
    expect_error(ErrorKind::kIo, {"changed", "4 bytes now"}, [&] { file.require_unchanged(); });
}

TEST(InputFile, NoticesAnotherModificationTime) {
    const TempDir dir;
    const InputFile file(write_bytes(dir / "f", "0123456789"));
    std::filesystem::last_write_time(dir / "f", std::filesystem::file_time_type{} + std::chrono::hours(1));
    expect_error(ErrorKind::kIo, {"changed"}, [&] { file.require_unchanged(); });
}

TEST(InputFile, KnowsItselfUnderOtherNames) {
    const TempDir dir;
    const InputFile file(write_bytes(dir / "f", "x"));
    write_bytes(dir / "g", "x");
    std::filesystem::create_symlink("f", dir / "link");
    std::filesystem::create_hard_link(dir / "f", dir / "hard");
    EXPECT_TRUE(file.is_same_file(dir / "link"));
    EXPECT_TRUE(file.is_same_file(dir / "hard"));
    EXPECT_TRUE(file.is_same_file(dir.path() / "." / "f"));
    EXPECT_FALSE(file.is_same_file(dir / "g"));
    EXPECT_FALSE(file.is_same_file(dir / "absent"));
}

TEST(InputFile, MovesItsDescriptor) {
    const TempDir dir;
    InputFile first(write_bytes(dir / "f", "first"));
    InputFile second(write_bytes(dir / "g", "second"));
    first = std::move(second);
    EXPECT_EQ(text_at(first, 0, 6), "second");
    const InputFile third(std::move(first));
    EXPECT_EQ(text_at(third, 0, 6), "second");
}

}  // namespace
}  // namespace plasticity
