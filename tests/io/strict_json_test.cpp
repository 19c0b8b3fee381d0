#include "io/strict_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/file_bytes.h"

namespace plasticity {
namespace {

using test::expect_error;

TEST(StrictJson, RefusesWhatLenientParsersTake) {
    EXPECT_NO_THROW(parse_strict_json(R"({"a":[{"b":1},{"b":1}],"b":2})", "text"));
    for (const char* text :
         {R"({"a":1,"a":2})", R"([{"a":{"b":1,"b":1}}])", "{} 1", "[1,]", "\"\xff\"", "1e999", "NaN"}) {
        SCOPED_TRACE(text);
        expect_error(ErrorKind::kMalformed, {"text: "}, [&] { parse_strict_json(text, "text"); });
    }
}

TEST(StrictJson, BoundsDepth) {
    const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
    EXPECT_NO_THROW(parse_strict_json(nested(32), "text"));
    expect_error(ErrorKind::kMalformed, {"deeper than 32"}, [&] { parse_strict_json(nested(33), "text"); });
    expect_error(ErrorKind::kMalformed, {"deeper than 32"},
                 [&] { parse_strict_json(std::string(1'000'000, '['), "text"); });
}

}  // namespace
}  // namespace plasticity
