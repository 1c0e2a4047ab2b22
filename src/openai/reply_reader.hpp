#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/body_need.hpp"
#include "openai/piece_count.hpp"
#include "openai/reply_head.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"
#include "sluice/result.hpp"

namespace sluice::openai {

using sluice::reply;

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
  /// `trailer`: every choice has ended, and only usage and [DONE] may follow. It goes back to
  /// `more` when content comes behind a finish reason (some relays give one with every chunk): a
  /// short wait that had begun is off then, and begins anew with the next `trailer`.
  using need = body_need;
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
  void head(reply_head head, double now_unix);
  need body(std::string_view bytes);

  /// Bytes that it keeps of the reply.
  std::size_t held() const noexcept;
  /// Of a stream, so far.
  piece_count pieces() const noexcept;
  /// The text of a streamed chat or completion so far; see stream_assembler::text(). Empty for
  /// responses.
  std::string_view text() const;
  bool content_began() const noexcept { return pieces().any > 0; }

  /// The outcome; call once, last. `transport` is what the wire had to say about a cut or a timeout
  /// and becomes the failure's message where the relay gave none.
  boost::system::result<reply, failure> finish(ending how, std::string_view transport = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace sluice::openai
