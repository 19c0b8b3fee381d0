#include "verify/stock_logits.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

class StockLogitsFile : public testing::Test {
protected:
    template <typename Value>
    void put(Value value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void put_header(std::int32_t context, std::int32_t n_vocab, std::int32_t n_chunks) {
        bytes_ = "_logits_";
        for (const std::int32_t count : {context, n_vocab, n_chunks}) put(count);
    }
    StockLogits open() const {
        std::ofstream(path_, std::ios::binary) << bytes_;
        return StockLogits(path_);
    }
    void expect_refused(const std::string& reason) const {
        test::expect_error(ErrorKind::kMalformed, {reason}, [&] { open(); });
    }

    test::TempDir dir_;
    std::filesystem::path path_ = dir_ / "logits";
    std::string bytes_;
};

/// Contexts of 6 tokens have rows for positions 3 and 4; of three tokens each has codes for four.
TEST_F(StockLogitsFile, RowsAreWhatTheirCodesSay) {
    put_header(6, 3, 1);
    for (std::int32_t token = 0; token < 6; ++token) put(token);
    for (const float lowest : {-8.0f, -4.0f}) {
        put(0.5f);
        put(lowest);
        for (const int code : {0, 2, 5, 0}) put(static_cast<std::uint16_t>(code));
    }
    const StockLogits file = open();
    EXPECT_EQ(file.context(), 6);
    EXPECT_EQ(file.rows_per_chunk(), 2);
    EXPECT_EQ(file.tokens(), (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5}));
    std::vector<float> row(3);
    EXPECT_EQ(file.read_row(1, row), 0.5f);
    EXPECT_EQ(row, (std::vector<float>{-4.0f, -3.0f, -1.5f}));

    bytes_.pop_back();
    expect_refused("expected 2 rows of 16 bytes");
}

TEST_F(StockLogitsFile, RefusesWhatItsSizeCannotHold) {
    bytes_ = "GGUF....";
    expect_refused("expected \"_logits_\"");
    bytes_ = "_log";
    expect_refused("logits");
    for (const std::int32_t count : {0, -1, 1 << 30}) {
        put_header(6, count, 1);
        expect_refused("expected 1 to");
    }
    put_header(1 << 24, 1 << 24, 1 << 24);
    expect_refused("20 bytes; expected");  // nothing of that size is asked for
}

}  // namespace
}  // namespace plasticity
