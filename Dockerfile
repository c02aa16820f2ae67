# For machines with NVIDIA GPUs and a driver of 525 or newer; Dockerfile.cpu is the same without CUDA. Lines to copy:
#
#   docker build --build-arg UID=$(id -u) -t album-gan .
#   mkdir -p runs my_covers
#   docker run --rm -it --gpus all --ipc=host -p 7860:7860 -v "$PWD/runs:/home/trainer/album_gan/runs" \
#       -v "$PWD/my_covers:/home/trainer/album_gan/my_covers" album-gan
#
# --ipc=host: batches pass through shared memory, of which a container has 64 MB otherwise.
FROM python:3.12-slim

# A compiler, for torch.compile.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ git && rm -rf /var/lib/apt/lists/*

# Not root: what a run writes belongs to whoever started it.
ARG UID=1000
RUN useradd --create-home --non-unique --uid "$UID" --shell /bin/bash trainer \
    && install --directory --owner trainer /home/trainer/album_gan
USER trainer
WORKDIR /home/trainer/album_gan
ENV PATH=/home/trainer/album_gan/.venv/bin:$PATH NVIDIA_DRIVER_CAPABILITIES=compute,utility PIP_NO_CACHE_DIR=1

RUN python3 -m venv .venv
RUN pip install torch --index-url https://download.pytorch.org/whl/cu128
COPY --chown=trainer . .
RUN pip install -e '.[all]'
RUN album-gan --help

CMD ["bash"]
