#include "engine/weights.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "core/error.h"
#include "engine/decoder.h"
#include "engine/engine_support.h"
#include "io/gguf_reader.h"

namespace plasticity {
namespace {

/// Writes one F32 weight of a tiny model anew.
void spoil(const std::filesystem::path& model, const std::string& tensor, std::uint64_t element, float value) {
    const std::uint64_t at = GgufReader(model).find(tensor)->offset + element * sizeof value;
    std::fstream(model, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(at))
        .write(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Stored, copied as it is, and converted on the way.
TEST(WeightsOfADamagedModel, AreNamedByTensorRowAndColumn) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()})
        for (const auto precision : {WeightPrecision::kStored, WeightPrecision::kF16}) {
            const test::TempDir dir;
            const auto path = test::write_tiny_gguf(dir / "tiny.gguf");
            spoil(path, "blk.1.attn_k.weight", 3 * 32 + 7, bad);
            const auto model = open_model(path);
            try {
                const Decoder decoder(*model, {.context_length = 16, .precision = precision}, test::quiet());
                ADD_FAILURE() << "loaded";
            } catch (const Error& error) {
                EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
                EXPECT_NE(std::string_view(error.what()).find("blk.1.attn_k.weight, row 3, column 7"),
                          std::string_view::npos)
                    << error.what();
            }
        }
}

TEST(WeightsOfADamagedModel, VectorsCountToo) {
    const test::TempDir dir;
    const auto path = test::write_tiny_gguf(dir / "tiny.gguf");
    spoil(path, "output_norm.weight", 5, std::numeric_limits<float>::quiet_NaN());
    const auto model = open_model(path);
    EXPECT_THROW(Decoder(*model, {.context_length = 16, .precision = WeightPrecision::kStored}, test::quiet()), Error);
}

}  // namespace
}  // namespace plasticity
