#include "io/scratch_file.h"

#include <gtest/gtest.h>

#include <array>

#include "core/error.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using Bytes = std::array<std::byte, 3>;

TEST(ScratchFile, KeepsWhatWasWrittenAndHasNoName) {
    const test::TempDir dir;
    ScratchFile file(dir / ".");
    const Bytes written{std::byte{1}, std::byte{2}, std::byte{3}};
    file.write(100, written);
    Bytes found{};
    file.read(100, found);
    EXPECT_EQ(found, written);
    file.read(0, found);
    EXPECT_EQ(found, Bytes{});  // a hole
    EXPECT_THROW(file.read(101, found), Error);
    EXPECT_TRUE(std::filesystem::is_empty(dir / "."));
}

TEST(ScratchFile, RefusesAFolderThatIsNotThere) {
    const test::TempDir dir;
    test::expect_error(ErrorKind::kIo, {}, [&] { ScratchFile file(dir / "absent"); });
}

}  // namespace
}  // namespace plasticity
