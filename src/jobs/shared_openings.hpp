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

/// Finds prompts of a job that begin alike, and the replies for which a provider could have read
/// that opening from its cache. Not thread safe.
///
/// An opening is a prefix of the text of a prompt's first messages, for one model, behind the same
/// tools and format. Its length is one of few: 2048 bytes, and four more lengths up to each double.
/// So an opening is at most a fifth shorter than what two prompts have in common. Each takes about
/// 50 bytes, and four millions are kept at most; after that no new ones are found.
class shared_openings {
 public:
  /// The longest opening of a prompt; an opening knows the shorter ones. 0: it has none.
  using id = std::uint32_t;

  /// Providers cache no shorter opening.
  static constexpr std::int64_t shortest_tokens = 1024;
  /// How long any provider keeps an opening that is not used.
  static constexpr double lifetime_s = 300;

  /// `most`: how many openings are kept.
  explicit shared_openings(std::size_t most = 4'000'000) : most_(most) {}

  /// Adds a request of the job.
  id add(const request& asked);

  struct repeat {
    std::int64_t tokens = 0;  ///< of the longest opening that could have been read; 0: none
    id shortest = 0;          ///< of those with shortest_tokens: names a group of prompts
  };
  /// Adds a reply, after all requests. An opening of its request could have been read if another
  /// reply with the same opening, from the same relay, had ended at most `lifetime_s` before this
  /// attempt began. Replies are added in the order of their ends; of others it may miss some.
  repeat add_reply(id longest, std::string_view relay, double started_unix, double ended_unix);

 private:
  struct opening {
    id shorter = 0;
    std::uint32_t tokens = 0;  ///< counted once a second prompt has the opening
    bool shared = false;
  };
  /// While there was always a reply in the last `lifetime_s`.
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
