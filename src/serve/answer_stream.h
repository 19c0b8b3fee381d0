#pragma once

#include <httplib.h>

#include <memory>
#include <vector>

#include "serve/api_response.h"
#include "serve/reply.h"

namespace plasticity {

/// An answer as server-sent events, a piece as soon as it is there. Serves one client, on that client's thread.
class AnswerStream {
public:
    struct Form {
        std::size_t n_texts = 1;
        std::int32_t choices = 1;  ///< texts of one prompt
        bool chat = false;
        bool include_usage = false;
        bool with_probabilities = false;
    };
    AnswerStream(std::shared_ptr<Reply> reply, AnswerWriter writer, const Form& form);

    /// Sends what there is, or waits a moment for it. @returns false when the client has left
    bool pump(httplib::DataSink& sink);
    /// The client got all, or left.
    void release() { reply_->cancel(); }

private:
    bool send(httplib::DataSink& sink, const std::string& json) const;
    bool send_event(httplib::DataSink& sink, ReplyEvent event);
    bool finish(httplib::DataSink& sink);

    std::shared_ptr<Reply> reply_;
    AnswerWriter writer_;
    Form form_;
    std::vector<bool> announced_;  ///< texts of which a piece was sent
    Usage usage_;
    bool failed_ = false;
};

}  // namespace plasticity
