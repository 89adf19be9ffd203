"""The site's pages, placed as in the repository, so that a link holds in both."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SHOWN = ("README*.md", "CHANGELOG.md", "LICENSE", "docs/*.md", "docs/*.png", "docs/*.svg",
         "docs/*.css", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md",
         "conf/**/*.yaml")  # fmt: skip
"""Pages, and the files that they show or link to."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Replace what mkdocs found below docs/ alone; the theme's own files stay."""
    root = Path(config.config_file_path).parent
    theme = [file for file in files if file.src_dir != config.docs_dir]
    found = (path.relative_to(root) for shown in SHOWN for path in sorted(root.glob(shown)))
    ours = [
        File(path.as_posix(), str(root), config.site_dir, config.use_directory_urls)
        for path in found
    ]
    return Files([*theme, *ours])
