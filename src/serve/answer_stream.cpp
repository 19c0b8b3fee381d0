#include "serve/answer_stream.h"

#include <utility>

#include "serve/connection.h"

namespace plasticity {

AnswerStream::AnswerStream(std::shared_ptr<Reply> reply, AnswerWriter writer, const Form& form)
    : reply_(std::move(reply)), writer_(std::move(writer)), form_(form), announced_(form.n_texts) {}

bool AnswerStream::pump(httplib::DataSink& sink) {
    if (std::optional<ReplyEvent> event = reply_->take(kReplyPatience)) {
        if (!send_event(sink, std::move(*event))) return false;
    } else if (Connection::current()->client_left()) {
        return false;
    }
    return failed_ || reply_->finished() ? finish(sink) : true;
}

bool AnswerStream::send(httplib::DataSink& sink, const std::string& json) const {
    const std::string event = "data: " + json + "\n\n";
    return sink.write(event.data(), event.size());
}

bool AnswerStream::send_event(httplib::DataSink& sink, ReplyEvent event) {
    if (!event.failure.empty()) {
        failed_ = true;
        reply_->cancel();
        return send(sink, error_json(500, event.failure));
    }
    const std::size_t index = event.text_index;
    if (event.end) usage_.add(*event.end, index % static_cast<std::size_t>(form_.choices) == 0);
    const bool announces = !announced_[index];
    // A piece of a character, or of what may become a stop string, is nothing to send yet.
    const bool says = !event.text.empty() || event.end || (form_.chat && announces) ||
                      (form_.with_probabilities && !event.tokens.empty());
    if (!says) return true;
    announced_[index] = true;
    AnswerText piece{
        .index = index, .text = std::move(event.text), .tokens = std::move(event.tokens), .end = std::move(event.end)};
    return send(sink, form_.chat ? writer_.chat_chunk(piece, announces) : writer_.completion_chunk(piece));
}

bool AnswerStream::finish(httplib::DataSink& sink) {
    if (form_.include_usage && !failed_ &&
        !send(sink, writer_.usage_chunk(form_.chat ? "chat.completion.chunk" : "text_completion", usage_)))
        return false;
    constexpr std::string_view kDone = "data: [DONE]\n\n";
    if (!sink.write(kDone.data(), kDone.size())) return false;
    sink.done();
    return true;
}

}  // namespace plasticity
