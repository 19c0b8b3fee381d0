#include "engine/stash.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

std::vector<float> rows_from(float first, std::size_t n) {
    std::vector<float> rows(n);
    for (std::size_t i = 0; i < n; ++i) rows[i] = first + static_cast<float>(i);
    return rows;
}

/// 4 KiB: two of three slots fit.
class SmallStash : public testing::Test {
protected:
    static constexpr std::size_t kRows = 512;
    void fill_three() {
        for (const std::size_t slot : {2u, 0u, 1u})
            stash_.put(slot, rows_from(1000.0f * static_cast<float>(slot), kRows));
    }
    void expect_three() const {
        for (const std::size_t slot : {0u, 1u, 2u})
            EXPECT_EQ(stash_.get(slot), rows_from(1000.0f * static_cast<float>(slot), kRows)) << slot;
    }

    test::TempDir dir_;
    Stash stash_{{.memory_bytes = 2 * kRows * sizeof(float), .folder = dir_ / ""}};
};

TEST_F(SmallStash, HoldsMoreThanFitsInMemory) {
    fill_three();
    expect_three();
    stash_.clear();
    fill_three();
    expect_three();
}

TEST_F(SmallStash, ReplacesWhatASlotHeldWhereverItLay) {
    fill_three();
    for (const std::size_t slot : {0u, 1u, 2u}) {
        stash_.put(slot, rows_from(7, kRows));
        EXPECT_EQ(stash_.get(slot), rows_from(7, kRows)) << slot;
        stash_.put(slot, rows_from(1000.0f * static_cast<float>(slot), kRows));
    }
    expect_three();
}

TEST(Stash, LeavesNoFileInItsFolder) {
    const test::TempDir dir;
    Stash stash({.memory_bytes = 0, .folder = dir / ""});
    stash.put(0, rows_from(0, 100));
    EXPECT_TRUE(std::filesystem::is_empty(dir / ""));
    EXPECT_EQ(stash.get(0), rows_from(0, 100));
}

TEST(Stash, SaysWhereItCannotSpill) {
    const test::TempDir dir;
    Stash stash({.memory_bytes = 0, .folder = dir / "missing"});
    try {
        stash.put(0, {1});
        ADD_FAILURE() << "spilled";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kIo);
        EXPECT_NE(std::string_view(error.what()).find((dir / "missing").string()), std::string_view::npos);
    }
}

}  // namespace
}  // namespace plasticity
