// The difference between what a relay sells and what it serves: how a relay cheats. Pure; random
// choices depend only on the seed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "simulator/bill.hpp"

namespace sluice::simulator {

/// How a relay cheats. Everything else is as on an honest relay.
enum class cheat {
  none,
  substituted,  ///< another model answers under the name of the requested one
  inflated,     ///< reports and bills more tokens than were used
  injected,     ///< puts a hidden prompt before the client's prompt
  fake_stream,  ///< sends a stream all at once, at the time of its last token
  mixed,        ///< substitutes the model in a share of the calls
  overbilled,   ///< charges more than the reported usage costs
  endless,      ///< ignores the limit of an answer's length
  cache_kept,   ///< reports tokens read from the cache, but charges the full price for them
};

struct cheat_plan {
  cheat how = cheat::none;
  double share = 0.1;  ///< for `mixed`: the share of substituted calls
};

/// Request fields that the relay ignores, as honest relays do if their upstream lacks the feature.
struct missing_features {
  bool logprobs = false;
  bool tools = false;
  bool json_schema = false;
};

/// `none`, `substituted`, `inflated`, `injected`, `fake-stream`, `mixed`, `mixed=0.25`,
/// `overbilled`, `endless` or `cache-kept`; throws std::invalid_argument.
cheat_plan parse_cheat(std::string_view text);

/// Reads a comma-separated list of `logprobs`, `tools` and `json-schema`; throws
/// std::invalid_argument.
missing_features parse_missing_features(std::string_view text);

/// Applies a cheat plan to calls. Immutable, so thread safe.
class deal {
 public:
  /// An honest relay.
  deal() = default;
  deal(cheat_plan plan, std::uint64_t seed);

  /// The model that answers call `number`. A substitute uses another vocabulary than the model
  /// sold. Embedding models are never substituted.
  std::string_view serving_model(std::string_view sold, std::uint64_t number) const;

  /// Tokens of the hidden prompt: 20 to 200, or 0 if there is none.
  std::uint64_t hidden_prompt() const;
  bool streams_at_the_end() const { return plan_.how == cheat::fake_stream; }
  bool ignores_limits() const { return plan_.how == cheat::endless; }

  /// The usage that is reported and billed. `inflated` multiplies it by 1.1 to 1.5.
  token_usage reported(const token_usage& usage) const;
  /// The prices that the relay charges for a model with these list prices.
  price rates(price listed) const;
  /// The charge for a usage that costs `cost`. `overbilled` multiplies it by 1.2 to 2.
  usd charged(usd cost) const;

 private:
  cheat_plan plan_;
  std::uint64_t seed_ = 0;
};

}  // namespace sluice::simulator
