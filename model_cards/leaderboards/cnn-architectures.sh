#!/bin/sh
# The recorded runs of cnn-architectures, each with every setting that it had. Written by `python -m train report`.
#
#     FER2013_DIR=/path/to/fer2013 sh model_cards/leaderboards/cnn-architectures.sh
#
# From the project's root. The same command goes on where it was stopped; runs that are finished are passed over.
# Another machine and other versions round otherwise: expect figures within the recorded intervals, not the same digits.
#
# Initial weights, to be in that folder before; the project does not ship them:
#     mobilenetv3_small_100.from-lite0.safetensors
#
# *.from-lite0 is what `python -m train inherit` takes out of tf_efficientnet_lite0's weights of ImageNet.
# --pretrained in place of --init takes timm's own, complete ones: figures will not be the same.
set -e

python -m train run --out runs/mobilenetv3_small_100 --protocol random-80-20 --targets both \
    --align none --on-missing keep --backbone mobilenetv3_small_100 \
    --init mobilenetv3_small_100.from-lite0.safetensors --init-share 0.0 --image-size 96 \
    --first-size 48 --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 20 --batch-size 64 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 1.0 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/mobilenetv3_small_100--40 --protocol random-80-20 --targets both \
    --align none --on-missing keep --backbone mobilenetv3_small_100 \
    --init runs/mobilenetv3_small_100/model/model.safetensors --init-share 0.0 --image-size 96 \
    --first-size 0 --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 20 --batch-size 64 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.5 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/mobilenetv3_small_100--size-48 --protocol random-80-20 \
    --targets both --align none --on-missing keep --backbone mobilenetv3_small_100 \
    --init mobilenetv3_small_100.from-lite0.safetensors --init-share 0.0 --image-size 48 \
    --first-size 0 --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 20 --batch-size 64 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 1.0 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/resnet50 --protocol random-80-20 --targets both --align none \
    --on-missing keep --backbone resnet50 --init-share 0.0 --image-size 64 --first-size 48 \
    --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 20 --batch-size 64 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.75 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0

python -m train run --out runs/resnet50--30 --protocol random-80-20 --targets both --align none \
    --on-missing keep --backbone resnet50 --init runs/resnet50/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 64 --sampling none --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 10 \
    --batch-size 64 --optimizer adamw --lr 0.0005 --weight-decay 0.02 --schedule cosine \
    --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy \
    --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 \
    --augment 0.75 --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 \
    --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/resnet50--38 --protocol random-80-20 --targets both --align none \
    --on-missing keep --backbone resnet50 --init runs/resnet50--30/model/model.safetensors \
    --init-share 0.0 --image-size 96 --first-size 0 --sampling none --loss cross-entropy \
    --label-smoothing 0.0 --teacher-share 0.5 --teacher-temperature 2.0 --epochs 8 --batch-size 64 \
    --optimizer adamw --lr 0.0004 --weight-decay 0.02 --schedule cosine --warmup 0.05 \
    --plateau-factor 0.1 --plateau-patience 3 --patience 0 --choose-by accuracy --balance 0.0 \
    --clip 1.0 --sam 0.0 --ema 0.998 --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.75 \
    --rotate 12.0 --zoom 0.12 --shift 0.08 --flip 0.5 --brightness 0.2 --contrast 0.25 \
    --erase 0.25 --camera 0.0 --mixup 0.0 --precision bf16 --seed 0

python -m train run --out runs/traditional_cnn --protocol random-80-20 --targets labels \
    --align none --on-missing keep --backbone traditional_cnn --init-share 0.0 --image-size 48 \
    --first-size 0 --sampling none --loss cross-entropy --label-smoothing 0.05 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 45 --batch-size 64 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 0.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 1.0 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision no --seed 0

python -m train run --out runs/vgg16_grey --protocol random-80-20 --targets both --align none \
    --on-missing keep --backbone vgg16_grey --init-share 0.0 --image-size 48 --first-size 32 \
    --sampling none --loss cross-entropy --label-smoothing 0.0 --teacher-share 0.5 \
    --teacher-temperature 2.0 --epochs 14 --batch-size 64 --optimizer adamw --lr 0.001 \
    --weight-decay 0.02 --schedule cosine --warmup 0.05 --plateau-factor 0.1 --plateau-patience 3 \
    --patience 0 --choose-by accuracy --balance 0.0 --clip 1.0 --sam 0.0 --ema 0.998 \
    --drop-rate 0.2 --drop-path-rate 0.1 --augment 0.75 --rotate 12.0 --zoom 0.12 --shift 0.08 \
    --flip 0.5 --brightness 0.2 --contrast 0.25 --erase 0.25 --camera 0.0 --mixup 0.0 \
    --precision bf16 --seed 0
