#include "engine/cache_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "artifact/type_names.h"
#include "core/error.h"

namespace plasticity {

DecoderOptions decoder_options(const Architecture& architecture, const CacheRequest& request, std::int64_t wanted,
                               const RunOn& on) {
    const std::optional<ggml_type> kv_type = parse_kv_type(request.kv_type);
    if (!kv_type)
        throw Error(ErrorKind::kUsage,
                    fmt::format("KV cache: type \"{}\"; expected f16, q8_0 or q4_0", request.kv_type));
    const std::int64_t trained = architecture.context_length > 0 ? architecture.context_length : INT32_MAX;
    if (request.context_length < 0 || request.context_length > trained)
        throw Error(ErrorKind::kUsage,
                    fmt::format("context: {} tokens; expected 0 to {}, for which this model was made",
                                request.context_length, trained));
    const std::int64_t context =
        request.context_length > 0 ? request.context_length : std::clamp<std::int64_t>(wanted, 1, trained);
    return {.context_length = static_cast<std::int32_t>(context),
            .threads = on.threads,
            .backend = on.backend,
            .repack = request.repack,
            .kv_type = *kv_type};
}

}  // namespace plasticity
