#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>

namespace plasticity {

/// What main() of a benchmark does: runs it on the program's arguments, and tells what ended it early.
template <typename Run>
int bench_main(int argc, char** argv, const Run& run) {
    try {
        run(std::span(argv, static_cast<std::size_t>(argc)));
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return EXIT_FAILURE;
    }
}

}  // namespace plasticity
