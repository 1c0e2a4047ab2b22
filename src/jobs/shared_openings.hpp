#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/id_table.hpp"
#include "sluice/job.hpp"

namespace sluice {

/// Finds prompts of a job that begin with the same text, and the replies for which a provider could
/// have read that opening from its cache. Not thread safe.
///
/// An opening is a prefix of the text of a prompt's first messages, for one model, with the same
/// tools and format before it. Only certain lengths are used: 2048 bytes, and four more lengths up
/// to each doubling. So an opening is at most a fifth shorter than the text that two prompts share.
/// Each opening takes about 50 bytes. At most four million are kept; after that no new ones are
/// found.
class shared_openings {
 public:
  /// The longest opening of a prompt; each opening refers to the next shorter one. 0: none.
  using id = std::uint32_t;

  /// Providers cache no shorter opening.
  static constexpr std::int64_t shortest_tokens = 1024;
  /// The longest time for which a provider keeps an opening that is not used.
  static constexpr double lifetime_s = 300;

  /// `most`: the largest number of openings that are kept.
  explicit shared_openings(std::size_t most = 4'000'000) : most_(most) {}

  /// Adds a request of the job.
  id add(const request& asked);

  struct repeat {
    std::int64_t tokens = 0;  ///< of the longest opening that could have been read; 0: none
    id shortest = 0;  ///< the shortest of those with shortest_tokens; identifies a group of prompts
  };
  /// Adds a reply; call it after all requests were added. An opening of its request could have been
  /// read if another reply with the same opening, from the same relay, had ended at most
  /// `lifetime_s` before this attempt began. Add replies in the order of their ends; otherwise some
  /// repeats may be missed.
  repeat add_reply(id longest, std::string_view relay, double started_unix, double ended_unix);

 private:
  struct opening {
    id shorter = 0;
    std::uint32_t tokens = 0;  ///< counted when a second prompt has the opening
    bool shared = false;
  };
  /// A period in which there was always a reply in the last `lifetime_s`.
  struct period {
    double begin = 0;  ///< end of the first reply
    double end = 0;    ///< end of the last reply; 0: there was none
  };

  const std::size_t most_;
  id_table<id> ids_;
  std::vector<opening> openings_{opening{}};
  std::map<std::string, std::vector<period>, std::less<>> periods_;  // by relay
};

}  // namespace sluice
