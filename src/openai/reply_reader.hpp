#pragma once

#include <boost/system/result.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "openai/piece_count.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"
#include "sluice/result.hpp"

namespace sluice::openai {

using sluice::reply;

/// The headers of a response that decide something; names in lower case.
struct response_head {
  int status = 0;
  std::string content_type;
  std::string request_id;  ///< x-request-id, or x-oneapi-request-id
  std::string location;    ///< of a redirect
  std::map<std::string, std::string, std::less<>>
      hints;  ///< those that is_retry_hint (retry_hint.hpp) names
};

/// Turns the bytes of one HTTP response into a whole reply or a failure. The body is sniffed: JSON
/// where a stream was asked for, and a stream where it was not, are read as what they are.
///
/// Pure; not thread safe; one object an attempt.
class reply_reader {
 public:
  struct expectation {
    endpoint target = endpoint::chat_completions;
    unsigned choices = 1;
    bool streamed = true;
    std::uint64_t max_body_bytes = std::uint64_t{64} << 20;
    std::string model = {};  ///< the request's: a 404 that holds it speaks of the model
  };
  /// What the reader wants next, as things stand after the bytes so far. It goes from `trailer`
  /// back to `more` when content comes behind a finish reason (some relays give one with every
  /// chunk): a short wait that had begun is off then, and begins anew with the next `trailer`.
  /// `nothing` is the last word.
  enum class need : std::uint8_t {
    more,     ///< the reply is not whole
    trailer,  ///< every choice has ended: only usage and [DONE] may follow; worth a short wait
    nothing,  ///< the reply is whole, or beyond help: stop reading
  };
  /// How the body came to its end. A cut or a timeout costs a reply nothing that wants no more than
  /// its trailer.
  enum class ending : std::uint8_t {
    complete,     ///< the framing says that this was all, or the reader needed nothing more
    cut,          ///< the connection broke first
    timeout,      ///< a deadline passed first
    undecodable,  ///< what came is compressed in a way that cannot be undone
  };

  explicit reply_reader(const expectation& expected);
  ~reply_reader();
  reply_reader(reply_reader&&) noexcept;
  reply_reader& operator=(reply_reader&&) noexcept;

  /// `now_unix`: seconds since the epoch, to read a Retry-After that is a date.
  void head(response_head head, double now_unix);
  need body(std::string_view bytes);

  /// Bytes that it keeps of the reply.
  std::size_t held() const noexcept;
  /// Of a stream, so far.
  piece_count pieces() const noexcept;
  bool content_began() const noexcept { return pieces().any > 0; }

  /// The outcome; call once, last. `transport` is what the wire had to say about a cut or a timeout
  /// and becomes the failure's message where the relay gave none.
  boost::system::result<reply, failure> finish(ending how, std::string_view transport = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace sluice::openai
