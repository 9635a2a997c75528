package awssdk

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// metadataTimeout is for all questions to the metadata service together: it is
// a hop away, or nothing answers.
const metadataTimeout = 5 * time.Second

// Place fills in what is missing of region and VPC: the region from the
// environment, and both from the metadata of the EC2 instance that this process
// runs on. In a pod that needs a hop limit of 2, the host's network, or the
// values given.
func Place(ctx context.Context, region, vpc string) (string, string, error) {
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "", "", fmt.Errorf("load the AWS configuration: %w", err)
	}
	if region == "" {
		region = sdk.Region
	}
	if region != "" && vpc != "" {
		return region, vpc, nil
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	sdk.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	instance := imds.NewFromConfig(sdk)
	if region == "" {
		found, err := instance.GetRegion(ctx, &imds.GetRegionInput{})
		if err != nil {
			return "", "", fmt.Errorf("ask the instance's metadata for the region: %w", err)
		}
		region = found.Region
	}
	if vpc == "" {
		if vpc, err = vpcOf(ctx, instance); err != nil {
			return "", "", fmt.Errorf("ask the instance's metadata for the VPC: %w", err)
		}
	}
	return region, vpc, nil
}

// vpcOf is the VPC of the instance's first network interface.
func vpcOf(ctx context.Context, instance *imds.Client) (string, error) {
	mac, err := metadata(ctx, instance, "mac")
	if err != nil {
		return "", err
	}
	return metadata(ctx, instance, "network/interfaces/macs/"+mac+"/vpc-id")
}

func metadata(ctx context.Context, instance *imds.Client, path string) (string, error) {
	out, err := instance.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", err
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, 1<<10))
	return strings.TrimSpace(string(text)), err
}
