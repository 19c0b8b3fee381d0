#pragma once

#include "core/error.h"
#include "io/problem_list.h"

namespace plasticity {

/// Runs a check; an Error that it throws becomes one more problem of the input.
template <typename Check>
void attempt(ProblemList& problems, Check&& check) {
    try {
        check();
    } catch (const Error& error) {
        problems.add(error.what());
    }
}

}  // namespace plasticity
