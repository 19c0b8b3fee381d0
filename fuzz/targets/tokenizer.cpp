#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "fuzz_target.h"
#include "io/problem_list.h"
#include "model/tokenizer_check.h"
#include "model/tokenizer_metadata.h"

namespace plasticity::fuzz {
namespace {

constexpr std::int32_t kVocabulary = 300;

/// The input holds these, a NUL between any two: no JSON text holds one. Files at the end may be absent.
constexpr std::array<std::string_view, 5> kFiles{"tokenizer.json", "tokenizer_config.json", "generation_config.json",
                                                 "config.json", "chat_template.jinja"};

void unpack(std::span<const std::byte> input, const std::filesystem::path& folder) {
    bool is_there = true;
    for (const std::string_view name : kFiles) {
        const auto end = std::find(input.begin(), input.end(), std::byte{0});
        const auto length = static_cast<std::size_t>(end - input.begin());
        std::error_code ignored;
        if (is_there)
            write_file(folder / name, input.first(length));
        else
            std::filesystem::remove(folder / name, ignored);
        is_there = end != input.end();
        input = input.subspan(is_there ? length + 1 : length);
    }
}

}  // namespace

void run_tokenizer(std::span<const std::byte> input) {
    const std::filesystem::path& folder = scratch_folder();
    unpack(input, folder);
    accepts({ErrorKind::kMalformed}, [&] {
        const GgufMetadata tokenizer = read_hf_tokenizer(folder, kVocabulary);
        const auto* tokens = tokenizer.array<std::string>("tokenizer.ggml.tokens");
        require(tokens != nullptr && tokens->size() == kVocabulary, "there is a token for every row of the embedding");
        ProblemList problems("the converted tokenizer");
        check_tokenizer(tokenizer, problems);
        problems.throw_if_any();
    });
}

}  // namespace plasticity::fuzz
