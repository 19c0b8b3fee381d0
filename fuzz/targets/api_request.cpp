#include "serve/api_request.h"

#include "fuzz_target.h"

namespace plasticity::fuzz {

/// What clients of the server send: the same bytes to each path.
void run_api_request(std::span<const std::byte> input) {
    const ServeLimits limits;
    const std::string_view body(reinterpret_cast<const char*>(input.data()), input.size());
    const auto check = [&](const ApiRequest& request) {
        require(request.choices >= 1 && request.choices <= limits.choices, "n is within its limit");
        require(request.generate.max_tokens >= -1, "max_tokens is a number of tokens");
        require(request.generate.top_probabilities <= limits.top_probabilities, "logprobs is within its limit");
        require(request.generate.stop.size() <= limits.stop_strings, "stop strings are within their limit");
    };
    accepts({ErrorKind::kMalformed}, [&] {
        const TextRequest request = parse_text_request(body, limits);
        check(request);
        require(!request.prompts.empty() &&
                    request.prompts.size() * static_cast<std::size_t>(request.choices) <= limits.prompts,
                "texts are within their limit");
    });
    accepts({ErrorKind::kMalformed}, [&] {
        const ChatRequest request = parse_chat_request(body, limits);
        check(request);
        require(!request.messages.empty() && request.messages.size() <= limits.messages,
                "messages are within their limit");
    });
    accepts({ErrorKind::kMalformed}, [&] { parse_tokenize_request(body, limits); });
}

}  // namespace plasticity::fuzz
