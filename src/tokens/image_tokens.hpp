#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice {

struct image_size {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

/// The size of the picture in a data URL, by its first bytes: PNG, GIF, JPEG and WebP. `url` is a
/// JSON string as it is written; nothing for other URLs, and for what cannot be read. Pure.
std::optional<image_size> image_size_of(std::string_view url);

/// How a model counts the tokens of a picture in its prompt. Pure.
class image_rule {
 public:
  /// So many for the picture, and for each tile of 512 by 512 pixels that it covers once it is
  /// scaled into 2048 by 2048, its shorter side to 768. Where detail is low: no tiles.
  static constexpr image_rule tiles(std::int64_t base, std::int64_t each) {
    return {base, each, 0};
  }
  /// So many hundredths for each patch of 32 by 32 pixels, of which there are 1536 at most,
  /// whatever the detail.
  static constexpr image_rule patches(std::int64_t hundredths) { return {0, 0, hundredths}; }

  /// The most that a picture of any size can have.
  std::int64_t most(bool low_detail) const noexcept;
  /// Those of a picture of that many pixels; neither side is 0.
  std::int64_t tokens(std::uint32_t width, std::uint32_t height, bool low_detail) const noexcept;

 private:
  constexpr image_rule(std::int64_t base, std::int64_t tile, std::int64_t patch_hundredths)
      : base_(base), tile_(tile), patch_hundredths_(patch_hundredths) {}

  std::int64_t base_;
  std::int64_t tile_;
  std::int64_t patch_hundredths_;  ///< 0: counts tiles
};

/// The rule that the model's maker has published for it, also under a dated name, that of a
/// fine-tuned model, or one behind a maker's name; nothing for models without one.
std::optional<image_rule> image_rule_of(std::string_view model);

}  // namespace sluice
