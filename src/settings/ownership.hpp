#pragma once

#include <sys/stat.h>

#include <string>

namespace sluice::cli {

// Checks of who may have written a file that this user is about to trust. A file of root is as good
// as the user's own, since root may write everything anyway.

/// Whether the file belongs to the user or to root.
bool is_own(const struct stat& file);

/// Whether users other than its owner and root may write the file. A group with no other member
/// does not count: many systems give each user such a group, and a umask of 002. An access list of
/// `path` may allow others although the mode bits do not show it, so it is looked up.
bool others_may_write(const struct stat& file, const std::string& path);

/// Whether others may replace a file of that folder: they may write the folder, and it has no
/// sticky bit. True as well for a folder that cannot be read.
bool others_may_replace_in(const std::string& folder);

}  // namespace sluice::cli
