#include "artifact/text_samples.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace plasticity {
namespace {

TEST(TextSamplesFile, ReadsBackAsWritten) {
    const TextSamples samples{.backend = "CPU",
                              .generated_tokens_per_second = 3.5,
                              .base_generated_tokens_per_second = 2,
                              .samples = {{"a", "b", "c"}, {"d", std::nullopt, "e\n"}}};
    const std::string text = text_samples_to_json(samples);
    EXPECT_EQ(text_samples_to_json(text_samples_from_json(text, "samples.json")), text);
}

TEST(TextSamplesFile, RefusesWhatIsNone) {
    for (const char* text :
         {"[]", "{}", R"({"schemaVersion":2})",
          R"({"schemaVersion":1,"backend":"","generatedTokensPerSecond":-1,"samples":[]})",
          R"({"schemaVersion":1,"backend":"","generatedTokensPerSecond":1,"samples":[{"prompt":"a"}]})"})
        test::expect_error(ErrorKind::kMalformed, {"samples.json"},
                           [&] { text_samples_from_json(text, "samples.json"); });
}

}  // namespace
}  // namespace plasticity
