#include "io/python.h"

#include <string>

#include "io/child_process.h"

namespace plasticity {

std::filesystem::path find_python() {
    const std::filesystem::path named = find_program("python3");
    if (named.empty()) return {};
    const ChildResult said =
        run_child({.program = named, .arguments = {"-I", "-c", "import sys; sys.stdout.write(sys.executable)"}},
                  {.deadline_seconds = 60});
    return said.succeeded() ? std::filesystem::path(said.out) : std::filesystem::path();
}

}  // namespace plasticity
