#pragma once

#include <ggml.h>

#include <cstdint>
#include <optional>
#include <string>

namespace plasticity {

class Model;

/// The copy of a tied matrix that is passed over: the source holds the matrix twice, as embedding and as output.
struct TiedCopy {
    std::string name;  ///< as GGUF calls it: "token_embd.weight" or "output.weight"
    ggml_type type = GGML_TYPE_F32;
    std::uint64_t bytes = 0;               ///< that it takes in the source
    std::optional<double> relative_error;  ///< ‖copy − kept‖ ÷ ‖kept‖ over the rows looked at, 0: the same values;
                                           ///< nothing: not compared, since the source says that they are tied
};

/// Which of embedding and output is but a second copy of the other, if one is. Converters of tied models often write
/// both, the output at a higher precision. Of two types the one with fewer bits is the copy: tied when every row looked
/// at is what quantising the finer one's row would give, up to twice the error that ggml's quantiser makes (the file's
/// may have been weighted) and never more than 15 % off; rows of different tokens are 20 % apart and more. Copies of
/// one type must be the same bytes throughout: two roundings of one matrix to the same type cannot be told from two
/// matrices.
///
/// Looked at are 64 rows, evenly spaced, and up to as many of tokens that were added to the vocabulary: those are what
/// gets trained on its own.
/// @param model  tensors of checked shapes, as its source stores them
/// @throws Error (kIo)
std::optional<TiedCopy> find_tied_copy(const Model& model);

/// "token_embd.weight (q5_0, 94.0 MB) is a copy of output.weight …": for people.
std::string describe(const TiedCopy& copy);

}  // namespace plasticity
