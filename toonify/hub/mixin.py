"""`save_pretrained` and `push_to_hub`, as pipelines of diffusers have them."""

import shutil
from pathlib import Path

from toonify.files import atomic_write
from toonify.hub import saving, upload
from toonify.hub.resolve import resolve_model
from toonify.hub.style import BUNDLED, CONFIG, DOWNLOADED, OWN_ENCODER, STYLE, WEIGHTS


class SavingMixin:
    """`save_pretrained` and `push_to_hub` for pipelines that keep their model's folder."""

    folder: Path | None = None
    encoder_folder: Path | None = None

    def save_pretrained(self, save_directory: str | Path) -> Path:
        """Saves the model in a folder that `from_pretrained` opens.

        Other files in the folder stay; files of an older model are replaced or removed.

        Args:
            save_directory: the folder; it is created if missing.

        Returns:
            The folder.

        Raises:
            ValueError: the pipeline was not made by `from_pretrained`, or a file is damaged.

        Example:
            >>> from toonify import AnimeGANPipeline
            >>> pipe = AnimeGANPipeline.from_pretrained("comic", device="cpu")
            >>> folder = pipe.save_pretrained("styles/mine")
            >>> AnimeGANPipeline.from_pretrained(folder, device="cpu").style.title
            'Comic'
        """
        target, files = Path(save_directory), self._files()
        for name, content in files.items():
            with atomic_write(target / name) as temporary:
                if isinstance(content, bytes):
                    temporary.write_bytes(content)
                else:
                    shutil.copyfile(content, temporary)
        for name in set(DOWNLOADED) - set(files):
            (target / name).unlink(missing_ok=True)
        return target

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, commit_message: str = ""
    ) -> upload.Receipt:
        """Uploads the model to the Hugging Face Hub in one commit.

        Args:
            repo_id: owner/name; the repository is created if missing.
            private: whether a new repository is private.
            commit_message: default: "Publish" and the title of the style.

        Returns:
            The URL of the repository, the commit and the files that it changed.

        Raises:
            ValueError: not a valid repository ID, or style.json lacks `license` or `data`.
            PermissionError: no token, or no permission to write to the repository.
            ConnectionError: the Hub does not answer.

        Example:
            >>> from toonify import AnimeGANPipeline
            >>> pipe = AnimeGANPipeline.from_pretrained("comic", device="cpu")
            >>> pipe.push_to_hub("owner/name", private=True).url
            'https://huggingface.co/owner/name'
        """
        folder, files = self._require_folder(), self._files(repo_id)
        upload.check_statements(folder)
        return upload.publish(folder, repo_id, files, private=private, message=commit_message)

    def _require_folder(self) -> Path:
        if self.folder is None:
            raise ValueError(f"{type(self).__name__}: expected a pipeline made by from_pretrained")
        return self.folder

    def _files(self, source: str = "") -> dict[str, Path | bytes]:
        files = saving.model_files(resolve_model(self._require_folder()), source)
        encoder = self.encoder_folder
        if encoder is not None and encoder.parent != BUNDLED:
            for name in (CONFIG, STYLE, *WEIGHTS):
                if (encoder / name).is_file():
                    files[f"{OWN_ENCODER}/{name}"] = encoder / name
        return files
