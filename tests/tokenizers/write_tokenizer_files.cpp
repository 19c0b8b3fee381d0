// The tokenizer of a GGUF file, which need not hold a model, as the files of a Hugging Face folder; for
// tests/tokenizers/compare.py.
//
//     write_tokenizer_files FILE.gguf FOLDER

#include <cstdio>
#include <filesystem>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/gguf_reader.h"
#include "model/tokenizer_metadata.h"

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: write_tokenizer_files FILE.gguf FOLDER\n");
        return 2;
    }
    try {
        const plasticity::GgufReader file(argv[1]);
        const plasticity::HfTokenizerFiles files = plasticity::write_hf_tokenizer(file.metadata());
        const std::filesystem::path folder = argv[2];
        const auto write = [&](const char* name, const std::string& text) {
            plasticity::write_text_file(folder / name, text, plasticity::Overwrite::kReplace);
        };
        write("tokenizer.json", files.tokenizer);
        write("tokenizer_config.json", files.tokenizer_config);
        write("generation_config.json", files.generation_config);
    } catch (const plasticity::Error& error) {
        std::fprintf(stderr, "write_tokenizer_files: %s\n", error.what());
        return static_cast<int>(error.kind());
    }
    return 0;
}
