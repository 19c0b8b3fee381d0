#include <array>
#include <string>
#include <string_view>

#include "engine/tokenizer.h"
#include "fuzz_target.h"
#include "io/gguf_reader.h"
#include "io/problem_list.h"
#include "model/tokenizer_check.h"

namespace plasticity::fuzz {
namespace {

constexpr std::array<std::string_view, 4> kTexts{"", "a the  in\n\nher 12345 it's\t", "<|im_start|><s></s>[EMPTY_3]",
                                                 "\xe2\x82\xac \xf0\x9f\x98\x80 \xff\xfe \xc3\xa9"};

}  // namespace

/// A GGUF's tokenizer as libllama, which is built without sanitizers, makes of it: it must not end the process.
void run_vocabulary(std::span<const std::byte> input) {
    const std::filesystem::path path = file_of(input);
    accepts({ErrorKind::kMalformed}, [&] {
        const GgufReader file(path);
        ProblemList problems("tokenizer");
        check_tokenizer(file.metadata(), problems);
        problems.throw_if_any();
        const Tokenizer tokenizer(file.metadata());
        for (const std::string_view text : kTexts)
            for (const bool parse_special : {false, true})
                for (const std::int32_t token : tokenizer.encode(text, true, parse_special))
                    require(token >= 0 && token < tokenizer.size(), "ids lie in the vocabulary");
        for (std::int32_t token = 0; token < tokenizer.size(); ++token) (void)tokenizer.piece(token, true);
    });
}

}  // namespace plasticity::fuzz
