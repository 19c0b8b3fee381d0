#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace plasticity::test {

/// `action` throws Error of this kind, and the message holds every one of `parts`.
template <typename Action>
void expect_error(ErrorKind kind, const std::vector<std::string>& parts, Action&& action) {
    try {
        action();
        ADD_FAILURE() << "no error; expected one about '" << (parts.empty() ? "" : parts.front()) << "'";
    } catch (const Error& error) {
        EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
        for (const std::string& part : parts)
            EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
                << "'" << part << "' is not in: " << error.what();
    }
}

}  // namespace plasticity::test
