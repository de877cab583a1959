#!/bin/sh
# The recorded runs of imbalance-grid, each with every setting that it had. Written by `python -m train report`.
#
#     FER2013_DIR=/path/to/fer2013 sh model_cards/leaderboards/imbalance-grid.sh
#
# From the project's root. The same command goes on where it was stopped; runs that are finished are passed over.
# Another machine and other versions round otherwise: expect figures within the recorded intervals, not the same digits.
#
# Initial weights, to be in that folder before; the project does not ship them:
#     efficientnet_b0.from-lite0.safetensors
#     legacy_xception.imagenet.safetensors
#     mobilenetv3_large_100.from-lite0.safetensors
#     resnet18.imagenet-stem-to-layer3.safetensors
#
# *.from-lite0 is what `python -m train inherit` takes out of tf_efficientnet_lite0's weights of ImageNet.
# resnet18's are ImageNet's up to layer3, with batch-norm statistics of FER2013's faces; layer4 began at random.
# --pretrained in place of --init takes timm's own, complete ones: figures will not be the same.
set -e

python -m train run --out runs/efficientnet_b0--none--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init efficientnet_b0.from-lite0.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 11 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--hybrid-3000--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:3000 --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/efficientnet_b0--hybrid-3000--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:3000 --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--hybrid-8989--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init efficientnet_b0.from-lite0.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling hybrid:8989 --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 4 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--hybrid-8989--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:8989 --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--none--focal --protocol folders --targets both \
    --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling none --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--none--weighted --protocol folders --targets both \
    --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling none --loss weighted --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--oversample-disgust--cross-entropy \
    --protocol folders --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/efficientnet_b0--oversample-disgust--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/efficientnet_b0--oversample-disgust--weighted --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init runs/efficientnet_b0--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss weighted \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/efficientnet_b0--undersample--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init efficientnet_b0.from-lite0.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling undersample --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 30 --batch-size 32 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/efficientnet_b0--undersample--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone efficientnet_b0 \
    --init efficientnet_b0.from-lite0.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling undersample --loss focal --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 30 --batch-size 32 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/legacy_xception--none--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init legacy_xception.imagenet.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 12 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.75 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--hybrid-3000--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:3000 --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--hybrid-3000--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:3000 --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--hybrid-8989--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init legacy_xception.imagenet.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling hybrid:8989 --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 2 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--hybrid-8989--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:8989 --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--none--cross-entropy--augment-1 --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init legacy_xception.imagenet.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 12 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 1.0 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--none--cross-entropy--20 --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy--augment-1/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling none --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 8 --batch-size 64 \
    --optimizer adamw --lr 0.0004 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 1.0 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--none--focal --protocol folders --targets both \
    --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling none --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--none--weighted --protocol folders --targets both \
    --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling none --loss weighted --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--oversample-disgust--cross-entropy \
    --protocol folders --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--oversample-disgust--cross-entropy--21 \
    --protocol folders --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy--20/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--oversample-disgust--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--oversample-disgust--weighted --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init runs/legacy_xception--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss weighted \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--undersample--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init legacy_xception.imagenet.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling undersample --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 12 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/legacy_xception--undersample--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone legacy_xception \
    --init legacy_xception.imagenet.safetensors --init-share 0.0 --image-size 96 --first-size 48 \
    --sampling undersample --loss focal --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 12 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/mobilenetv3_large_100--none--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init mobilenetv3_large_100.from-lite0.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 20 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--hybrid-3000--cross-entropy \
    --protocol folders --targets both --align none --on-missing keep \
    --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling hybrid:3000 --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--hybrid-3000--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling hybrid:3000 --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--hybrid-8989--cross-entropy \
    --protocol folders --targets both --align none --on-missing keep \
    --backbone mobilenetv3_large_100 --init mobilenetv3_large_100.from-lite0.safetensors \
    --init-share 0.0 --image-size 96 --first-size 48 --sampling hybrid:8989 --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 8 --batch-size 64 \
    --optimizer adamw --lr 0.0005 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--hybrid-8989--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling hybrid:8989 --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--none--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling none --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--none--weighted --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling none --loss weighted \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--oversample-disgust--cross-entropy \
    --protocol folders --targets both --align none --on-missing keep \
    --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling oversample:disgust \
    --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 \
    --epochs 1 --batch-size 64 --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine \
    --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy \
    --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 \
    --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 \
    --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--oversample-disgust--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling oversample:disgust --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--oversample-disgust--weighted \
    --protocol folders --targets both --align none --on-missing keep \
    --backbone mobilenetv3_large_100 \
    --init runs/mobilenetv3_large_100--none--cross-entropy/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling oversample:disgust --loss weighted \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--undersample--cross-entropy \
    --protocol folders --targets both --align none --on-missing keep \
    --backbone mobilenetv3_large_100 --init mobilenetv3_large_100.from-lite0.safetensors \
    --init-share 0.0 --image-size 96 --first-size 48 --sampling undersample --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 40 \
    --batch-size 32 --optimizer adamw --lr 0.001 --weight-decay 0.02 --schedule cosine \
    --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy \
    --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 \
    --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 \
    --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 --precision no --seed 0

python -m train run --out runs/mobilenetv3_large_100--undersample--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone mobilenetv3_large_100 \
    --init mobilenetv3_large_100.from-lite0.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling undersample --loss focal --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 40 --batch-size 32 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/resnet18--none--cross-entropy --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init resnet18.imagenet-stem-to-layer3.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 10 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--hybrid-3000--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:3000 --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/resnet18--hybrid-3000--focal --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:3000 --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--hybrid-8989--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone resnet18 \
    --init resnet18.imagenet-stem-to-layer3.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling hybrid:8989 --loss cross-entropy --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 2 --batch-size 64 --optimizer adamw \
    --lr 0.0005 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--hybrid-8989--focal --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling hybrid:8989 --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--none--focal --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling none --loss focal --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--none--weighted --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling none --loss weighted --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 --optimizer adamw \
    --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--oversample-disgust--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/resnet18--oversample-disgust--focal --protocol folders \
    --targets both --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss focal \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/resnet18--oversample-disgust--weighted --protocol folders \
    --targets both --align none --on-missing keep --backbone resnet18 \
    --init runs/resnet18--none--cross-entropy/model/model.safetensors --init-share 0.0 \
    --image-size 96 --first-size 0 --sampling oversample:disgust --loss weighted \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 1 --batch-size 64 \
    --optimizer adamw --lr 0.0003 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/resnet18--undersample--cross-entropy --protocol folders \
    --targets both --align none --on-missing keep --backbone resnet18 \
    --init resnet18.imagenet-stem-to-layer3.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling undersample --loss cross-entropy --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 30 --batch-size 64 --optimizer adamw \
    --lr 0.0005 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--undersample--focal --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init resnet18.imagenet-stem-to-layer3.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling undersample --loss focal --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 30 --batch-size 64 --optimizer adamw --lr 0.0005 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet18--undersample--weighted --protocol folders --targets both \
    --align none --on-missing keep --backbone resnet18 \
    --init resnet18.imagenet-stem-to-layer3.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling undersample --loss weighted --label-smoothing 0.0 \
    --teacher-share 0.5 --teacher-temperature 2.0 --epochs 30 --batch-size 64 --optimizer adamw \
    --lr 0.0005 --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 \
    --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 \
    --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 \
    --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0
