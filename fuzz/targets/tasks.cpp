#include "fuzz_target.h"
#include "verify/task_file.h"

namespace plasticity::fuzz {

/// JSONL files of prompts and checkers.
void run_tasks(std::span<const std::byte> input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    accepts({ErrorKind::kMalformed, ErrorKind::kUsage}, [&] {
        for (const Task& task : parse_tasks(text, "tasks.jsonl")) {
            require(!task.prompt.empty(), "prompts are not empty");
            require(task.max_tokens >= 1, "a token at least may be said");
            for (const std::string& stop : task.stop) require(!stop.empty(), "stop strings are not empty");
        }
    });
}

}  // namespace plasticity::fuzz
