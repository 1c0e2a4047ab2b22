#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

struct image_size {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

/// The size of a PNG, GIF, JPEG or WebP picture in a data URL, read from its first bytes. `url` is
/// a raw JSON string with its quotes. Nothing for other URLs and for unreadable pictures. Pure.
std::optional<image_size> image_size_of(std::string_view url);

/// How a model counts the tokens of a picture in its prompt. Pure.
class image_rule {
 public:
  /// `base` tokens per picture and `each` tokens per tile of 512 by 512 pixels. The picture is
  /// first scaled down to fit into 2048 by 2048 pixels and to a shorter side of 768. With low
  /// detail there are no tiles.
  static constexpr image_rule tiles(std::int64_t base, std::int64_t each) {
    return {form::tiles, base, each};
  }
  /// `hundredths` / 100 tokens per patch of 32 by 32 pixels, for at most 1536 patches. The detail
  /// does not matter.
  static constexpr image_rule patches(std::int64_t hundredths) {
    return {form::patches, hundredths, 0};
  }
  /// A token per 750 pixels. The picture is first scaled down to a longest side of `side` pixels
  /// and to `most` tokens. The detail does not matter.
  static constexpr image_rule pixels(std::int64_t side, std::int64_t most) {
    return {form::pixels, side, most};
  }
  /// `usual` tokens for a picture of any size, and `most` at the highest resolution that a request
  /// can ask for. The detail does not matter.
  static constexpr image_rule fixed(std::int64_t usual, std::int64_t most) {
    return {form::fixed, usual, most};
  }

  /// The maximum for a picture of any size.
  std::int64_t most(bool low_detail) const noexcept;
  /// The tokens of a picture of this size in pixels. Neither side may be 0.
  std::int64_t tokens(std::uint32_t width, std::uint32_t height, bool low_detail) const noexcept;

 private:
  enum class form : std::uint8_t { tiles, patches, pixels, fixed };
  constexpr image_rule(form counts, std::int64_t first, std::int64_t second)
      : form_(counts), first_(first), second_(second) {}

  // The parameters are those of the static function of the same name.
  form form_;
  std::int64_t first_;
  std::int64_t second_;
};

/// The rule that the vendor has published for the model. The name may have a date, a vendor prefix,
/// or the form of a fine-tuned model. Nothing for models without a published rule.
std::optional<image_rule> image_rule_of(std::string_view model);

}  // namespace sluice
