#include "io/printable.h"

#include <gtest/gtest.h>

namespace plasticity {
namespace {

TEST(Printable, QuotesEscapesAndCuts) {
    EXPECT_EQ(printable("a\033[2J\xff"), "'a\\x1b[2J\\xff'");
    EXPECT_EQ(printable("abcdef", 3), "'abc…'");
}

TEST(TerminalText, KeepsTextAndEscapesWhatATerminalObeys) {
    EXPECT_EQ(terminal_text("größer 中文 😀"), "größer 中文 😀");
    EXPECT_EQ(terminal_text("\033]0;title\a\r\x7f\b"), "\\x1b]0;title\\x07\\x0d\\x7f\\x08");
    EXPECT_EQ(terminal_text("\xc2\x9b"
                            "2J"),
              "\\xc2\\x9b2J");  // CSI as one character
    EXPECT_EQ(terminal_text("\xc2\xa0\xc2"), "\xc2\xa0\xc2");
    EXPECT_EQ(terminal_text("a\nb"), "a\\x0ab");
    EXPECT_EQ(terminal_text("a\nb\t", "\n"), "a\nb\\x09");
    EXPECT_EQ(terminal_text(std::string_view("\0", 1)), "\\x00");
}

}  // namespace
}  // namespace plasticity
